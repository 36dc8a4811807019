"""No option of `pixelserve cost` is without effect: two values of it make two bills, or it is refused by its name."""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from pixelserve_deploy import cli
from pixelserve_deploy.commands.cost import ACTIONS
from pixelserve_deploy.cost import MODES, CostError
from pixelserve_deploy.cost.workload import HEEDED_BY, ON_INSTANCES
from pixelserve_deploy.errors import UsageError
from pixelserve_deploy.options import read_question

Tried = dict[str, tuple[list[str], list[str], list[str]]]
"""Of every option: what stands beside it, and two values of it."""
BASE = ["--requests", "5M", "--request-bytes", "200KB", "--cpu-seconds", "4"]
LARGE = ["--requests", "5M", "--cpu-seconds", "4"]
"""Reaches the second tier of traffic."""
MANY = ["--requests", "50M"]
BUSY = [*MANY, "--measured", "BENCHMARK", "--megapixels", "0.25"]
"""Needs more instances at the slower of the measured loads."""
JOB: Tried = {
    "--model": (["--seconds", "1", "--cpu-seconds", "4"], [], ["--model", "human-image-segmentation"]),
    "--requests": (["--cpu-seconds", "4"], ["--requests", "1M"], ["--requests", "2M"]),
    "--request-bytes": (["--cpu-seconds", "4"], ["--request-bytes", "100KB"], ["--request-bytes", "200KB"]),
    "--megapixels": (["--cpu-seconds", "4"], ["--megapixels", "1"], ["--megapixels", "2"]),
    "--response-bytes": (BASE, ["--response-bytes", "1MB"], ["--response-bytes", "2MB"]),
    "--codec": (BASE, ["--codec", "jpeg"], ["--codec", "webp"]),
    "--scale": (BASE, ["--scale", "2"], ["--scale", "4"]),
    "--encoding": (BASE, ["--encoding", "raw"], ["--encoding", "base64"]),
    "--request-encoding": (BASE, ["--request-encoding", "raw"], ["--request-encoding", "base64"]),
    "--log-bytes": (BASE, ["--log-bytes", "1KB"], ["--log-bytes", "2KB"]),
    "--link": (BASE, [], ["--link"]),
    "--in-region": (BASE, [], ["--in-region"]),
    "--gateway": (BASE, [], ["--gateway"]),
    "--documented": (BASE, [], ["--documented"]),
    "--instance": ([*BASE, "--seconds", "1"], ["--instance", "ml.g4dn.2xlarge"], ["--instance", "ml.g5.xlarge"]),
    "--seconds": (BASE, ["--seconds", "1"], ["--seconds", "2"]),
    "--measured": ([*MANY, "--instance", "ml.c6i.xlarge"], ["--seconds", "1"], ["--measured", "BENCHMARK"]),
    "--latency": (BUSY, ["--latency", "3"], ["--latency", "1"]),
    "--percentile": ([*BUSY, "--latency", "1"], ["--percentile", "p50"], ["--percentile", "p99"]),
    "--concurrency": (LARGE, ["--concurrency", "1"], ["--concurrency", "4"]),
    "--cpu-seconds": ([], ["--cpu-seconds", "1"], ["--cpu-seconds", "2"]),
    "--memory": (["--cpu-seconds", "1"], ["--memory", "2048"], ["--memory", "3072"]),
    "--utilisation": (LARGE, ["--utilisation", "70%"], ["--utilisation", "20%"]),
    "--instances": (LARGE, ["--instances", "4"], ["--instances", "8"]),
    "--starts-a-day": (["--cpu-seconds", "4"], ["--starts-a-day", "8"], ["--starts-a-day", "9"]),
    "--region": ([*BASE, "--book", "BOOK"], [], ["--region", "us-east-1"]),
    "--book": (BASE, [], ["--book", "BOOK"]),
    "--price": (BASE, [], ["--price", "AWSDataTransfer/out=1"]),
    "--policy": (LARGE, ["--policy", "exact"], ["--policy", "documented-corrected"]),
    "--no-tiers": (LARGE, [], ["--no-tiers"]),
    "--free-tier": (BASE, [], ["--free-tier"]),
}  # fmt: skip
GENERATED = ["--generate", "bursty", "--days", "1"]
FEATURES = ["--features", "image-super-resolution,human-image-segmentation"]
WHAT_IF: Tried = {
    "--utilisation": ([], ["--utilisation", "70%"], ["--utilisation", "60%"]),
    "--instances": ([], ["--instances", "1"], ["--instances", "2"]),
    "--starts-a-day": ([], ["--starts-a-day", "8"], ["--starts-a-day", "9"]),
    "--book": ([], [], ["--book", "BOOK"]),
    "--price": ([], [], ["--price", "AWSDataTransfer/out=1"]),
    "--measured": ([], [], ["--measured", "BENCHMARK"]),
    "--latency": (["--measured", "BENCHMARK"], ["--latency", "40"], ["--latency", "10"]),
    "--percentile": (["--measured", "BENCHMARK", "--latency", "10"], ["--percentile", "p50"], ["--percentile", "p99"]),
    "--explain": ([], [], ["--explain"]),
}
SCALING: Tried = {
    "--trace": ([], ["--trace", "TRACE"], ["--trace", "OTHER"]),
    "--generate": ([], ["--generate", "bursty"], ["--generate", "diurnal"]),
    "--days": (GENERATED, ["--days", "1"], ["--days", "2"]),
    "--mode": (GENERATED, ["--mode", "autoscaled"], ["--mode", "async"]),
    "--min": (GENERATED, ["--min", "1"], ["--min", "2"]),
    "--max": (GENERATED, ["--max", "9"], ["--max", "10"]),
    "--cold-start": (GENERATED, ["--cold-start", "60"], ["--cold-start", "600"]),
    "--cool-out": (GENERATED, ["--cool-out", "60"], ["--cool-out", "600"]),
    "--cool-in": (GENERATED, ["--cool-in", "60"], ["--cool-in", "600"]),
    "--late-after": (GENERATED, ["--late-after", "5"], ["--late-after", "20"]),
    "--time-out": (GENERATED, ["--time-out", "30"], ["--time-out", "90"]),
    "--explain": (GENERATED, [], ["--explain"]),
}
OF_BENCHMARK: Tried = {
    "--instance": (["UNNAMED"], ["--instance", "ml.c6i.xlarge"], ["--instance", "ml.g4dn.xlarge"]),
    "--scale": (["SCALED"], ["--scale", "2"], ["--scale", "4"]),
    "--latency": (["BENCHMARK"], ["--latency", "3"], ["--latency", "1"]),
    "--percentile": (["BENCHMARK", "--latency", "1"], ["--percentile", "p50"], ["--percentile", "p99"]),
    "--utilisation": (["BENCHMARK"], ["--utilisation", "70%"], ["--utilisation", "20%"]),
    "--region": (["BENCHMARK", "--book", "BOOK"], [], ["--region", "us-east-1"]),
    "--book": (["BENCHMARK"], [], ["--book", "BOOK"]),
    "--price": (["BENCHMARK"], [], ["--price", "AmazonSageMaker/hosting/ml.c6i.xlarge=1"]),
}
BOOKS = Path(__file__).parents[2] / "deploy" / "pixelserve_deploy" / "cost" / "data" / "pricebooks"
ON_MEMORY_OR_FIXED = {"--cpu-seconds", "--memory", "--instances", "--starts-a-day"}
"""`simulate` does not know them."""
OF_THE_REPORT = {"--format", "--output", "--help"}


def put_beside(words: list[str], tried: Tried) -> Tried:
    """The same with more words beside each."""
    return {option: ([*words, *beside], one, other) for option, (beside, one, other) in tried.items()}


def choose(tried: Tried, names: Iterable[str]) -> Tried:
    return {option: tried[option] for option in tried if option in names}


MEASURED = {"--measured", "--latency", "--percentile"}
SHARED = {
    **put_beside([*FEATURES, "--seconds", "1"], choose(JOB, JOB.keys() - MEASURED)),
    **put_beside(FEATURES, choose(JOB, MEASURED)),
    "--features": (["--seconds", "1", *FEATURES], [], ["--features", "image-super-resolution,image-similarity"]),
}
SIMULATED = {**put_beside(GENERATED, choose(JOB, JOB.keys() - ON_MEMORY_OR_FIXED)), **SCALING}
TABLES: dict[str, tuple[str, set[str], Tried]] = {
    "compare": ("", set(), JOB),
    "compare shared": ("realtime", {"--model", "--codec", "--scale", "--instances"}, SHARED),
    "estimate --what-if": ("", JOB.keys() - WHAT_IF.keys(), {**JOB, **WHAT_IF}),
    "simulate": ("autoscaled", set(), SIMULATED),
    "from-benchmark": ("", set(), OF_BENCHMARK),
}
"""Of each other form of a command: the mode of its job, what it refuses beside what that does, and its options."""


def list_options(action: str) -> set[str]:
    parser = argparse.ArgumentParser()
    ACTIONS[action].add_arguments(parser)
    return {name for made in parser._actions for name in made.option_strings[-1:]} - OF_THE_REPORT


def drop_idle(mode: str, words: list[str]) -> list[str]:
    """Without what the mode does not heed, which stands beside other options for the sake of other modes."""
    idle = {"--cpu-seconds"} if mode in ON_INSTANCES else {"--seconds", "--instance", "--measured", "--latency"}
    return [word for at, word in enumerate(words) if not mode or not {word, *words[max(at - 1, 0) : at]} & idle]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Benchmarks with a slower load that waits less, a dearer book, and two traces; by what the tables call them."""
    folder = tmp_path_factory.mktemp("options")
    rows = [make_row(1, 4.0, 0.25, 0.3), make_row(8, 10.0, 0.5, 2.0)]
    results = {
        "BENCHMARK": ({"instance": "ml.c6i.xlarge"}, rows),
        "UNNAMED": ({}, rows),
        "SCALED": ({"instance": "ml.c6i.xlarge"}, [{**rows[0], "scale": 2}, {**rows[1], "scale": 4}]),
    }
    for name, (machine, of) in results.items():
        machine = {"cpu": "CPU", "cores": 2, "gpu": None, **machine}
        result = {
            "schema": "pixelserve-benchmark/1",
            "name": name,
            "date": "2026-11-30",
            "machine": machine,
            "rows": of,
        }
        (folder / name).write_text(json.dumps(result))
    book = json.loads((BOOKS / "aws-2026-11.json").read_text())
    for price in book["prices"]:
        if price["region"] == "us-east-2":
            price["tiers"] = [{**tier, "price": str(2 * float(tier["price"]))} for tier in price["tiers"]]
    (folder / "BOOK").write_text(json.dumps({key: value for key, value in book.items() if key != "sha256"}))
    (folder / "TRACE").write_text("minute,requests\n0,10\n1,20\n")
    (folder / "OTHER").write_text("minute,requests\n0,30\n9,20\n")
    return {path.name: str(path) for path in folder.iterdir()}


def make_row(connections: int, rate: float, p50: float, p99: float) -> dict:
    seconds = {"count": 100, "mean": p50, "p50": p50, "p90": 1.1 * p50, "p99": p99, "max": 2 * p99}
    sizes = {"request": 60_000, "width": 512, "height": 512}
    return {"connections": connections, "images_per_second": rate, "seconds": seconds, "sizes": sizes}


def strip(told: object) -> object:
    """A report without what repeats the options that were given."""
    if isinstance(told, list):
        return [strip(part) for part in told]
    if isinstance(told, dict):
        return {name: strip(part) for name, part in told.items() if name not in ("assumptions", "policy")}
    return told


@pytest.fixture
def tell(files: dict[str, str], capsys: pytest.CaptureFixture[str]) -> Callable[..., object]:
    """What a command line says: its JSON without the words that were given, or its refusal."""

    def run(words: list[str], form: str = "json") -> object:
        with contextlib.suppress(SystemExit):
            cli.main(["cost", *(files.get(word, word) for word in words), "--format", form])
        out, err = capsys.readouterr()
        if not out:
            return err
        if form == "csv":
            return list(csv.reader(io.StringIO(out)))
        return strip(json.loads(out))

    return run


def test_every_option_is_tried() -> None:
    assert list_options("estimate") - {"--mode", "--swing", "--what-if", "--explain"} == JOB.keys()
    assert list_options("compare") == SHARED.keys()
    assert list_options("simulate") == SIMULATED.keys()
    assert list_options("from-benchmark") == OF_BENCHMARK.keys()


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("option", JOB)
def test_an_estimate_heeds_an_option_or_refuses_it(option: str, mode: str, files: dict[str, str]) -> None:
    beside, one, other = JOB[option]
    told = [
        price(mode, [files.get(word, word) for word in [*drop_idle(mode, beside), *words]]) for words in (one, other)
    ]
    check(told, option, not is_heeded(option, mode))


@pytest.mark.parametrize(("form", "option"), [(form, option) for form in TABLES for option in TABLES[form][-1]])
def test_other_commands_heed_an_option_or_refuse_it(form: str, option: str, tell: Callable[..., object]) -> None:
    mode, refused, options = TABLES[form]
    beside, one, other = options[option]
    told = [tell([*form.removesuffix(" shared").split(), *drop_idle(mode, beside), *words]) for words in (one, other)]
    check(told, option, option in refused or not is_heeded(option, mode))


@pytest.mark.parametrize("option", SHARED)
def test_the_csv_of_features_heeds_what_its_table_does(option: str, tell: Callable[..., object]) -> None:
    mode, refused, _ = TABLES["compare shared"]
    beside, one, other = SHARED[option]
    told = [tell(["compare", *drop_idle(mode, beside), *words], "csv") for words in (one, other)]
    check(told, option, option in refused or not is_heeded(option, mode))


@pytest.mark.parametrize("option", [["--swing", "10%"], ["--explain"]])
def test_csv_refuses_what_it_has_no_room_for(option: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["cost", "estimate", *option, "--format", "csv"])
    assert end.value.code == 2
    assert f"{option[0]}: CSV has the lines alone" in capsys.readouterr().err


@pytest.mark.parametrize("form", ["json", "table"])
def test_an_estimate_heeds_what_its_report_is_asked(form: str, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for words in ([], ["--swing", "10%"], ["--explain"]):
        assert cli.main(["cost", "estimate", *words, "--format", form]) == 0
        told.append(capsys.readouterr().out.replace(shlex.join(["estimate", *words]), ""))
    assert len(set(told)) == 3


def price(mode: str, words: list[str]) -> object:
    """The lines of an estimate; or its refusal."""
    parser = argparse.ArgumentParser()
    ACTIONS["estimate"].add_arguments(parser)
    try:
        _, question = read_question(parser.parse_args(words), mode)
        question.require_mode(mode)
        return {line.key: line.amount for line in question.estimate(mode).lines}
    except (CostError, UsageError) as error:
        return str(error)


def is_heeded(option: str, mode: str) -> bool:
    """Whether a mode's bill can follow an option; "" is no mode."""
    field = {"--memory": "memory_mb"}.get(option, option[2:].replace("-", "_"))
    return not mode or mode in HEEDED_BY.get(field, MODES)


def check(told: list[object], option: str, is_refused: bool) -> None:
    """Two values of an option, and whether it is to be refused."""
    if is_refused:
        assert isinstance(told[1], str)
        assert option in told[1]
    else:
        assert not any(isinstance(report, str) for report in told)
        assert told[0] != told[1]
