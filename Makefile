# One line each; `make help` lists them.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
BIN = .venv/bin
IN_TWO = -n 2

.PHONY: help venv demo notebook test coverage soak fire lint image sbom contract bench wheel clean

help:    ## these lines
	@grep -E '^[a-z]+: .*## ' Makefile | sed 's/:.*## /\t/'

venv: .venv/complete    ## make .venv with everything that the tests and the demo need

demo: venv    ## enlarge, cut out and compare photographs through Predictor.predict into build/demo/
	$(BIN)/python notebooks/demo.py

notebook: venv    ## the notebooks in a browser, with what they need; on 127.0.0.1
	$(BIN)/python -m pip install --disable-pip-version-check -q -c constraints.txt -e '.[notebooks]'
	$(BIN)/jupyter notebook --ip 127.0.0.1 notebooks

test: venv    ## all tests but the long rest that `soak` runs
	$(BIN)/python -m pytest $(IN_TWO)

coverage: venv    ## the same tests, and which lines of container/ they run in all their processes; fails under 90 %
	mkdir -p build/coverage
	$(BIN)/python -m coverage erase
	$(BIN)/python -m coverage run -m pytest $(IN_TWO)
	$(BIN)/python -m coverage combine --quiet
	$(BIN)/python -m coverage report

soak: coverage    ## coverage, and the tests that take long
	$(BIN)/python -m pytest -m soak

fire: venv    ## attacks on every server and 200 callers on each feature, and the figures of docs/fire.md
	$(BIN)/python -m pytest -m "soak or not soak" tests/fire --fire-results docs/fire.json
	$(BIN)/python tools/fire-tables

lint: venv    ## ruff, mypy and import-linter
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy -p pixelserve -p pixelserve_gateway -p pixelserve_deploy
	for script in code/*/inference.py deploy/ci_deploy.py; do $(BIN)/mypy $$script || exit 1; done
	$(BIN)/mypy notebooks/demo.py
	PYTHONPATH=container:deploy $(BIN)/lint-imports --no-cache --config setup.cfg
	$(BIN)/hadolint Dockerfile

image: venv    ## build the container image; BUILD="--mms" and other options of `pixelserve build`
	$(BIN)/pixelserve build $(BUILD)

sbom: venv    ## build/sbom.json, the CycloneDX bill of materials of an image: make sbom IMAGE=pixelserve:...
	mkdir -p build
	$(BIN)/python tools/sbom $(or $(IMAGE),$(error IMAGE=NAME:TAG is missing)) build/sbom.json

contract: venv    ## the conformance suite against process and images, and docs/contract.md's table of its outcomes
	$(BIN)/python -m pytest tests/contract --contract-results docs/contract.json
	$(BIN)/python tools/contract-table

bench: venv    ## all benchmarks, into benchmarks/results/
	for name in codecs quality segmentation similarity serving gateway models pipeline memory cost fire; do $(BIN)/python benchmarks/$$name.py || exit 1; done

wheel: venv    ## build dist/*.whl
	$(BIN)/python -m build --wheel

clean:    ## remove what was built
	rm -rf .venv build dist *.egg-info

.venv/complete: setup.cfg constraints.txt tools/make-venv
	tools/make-venv $(PYTHON)
	touch $@
