"""`pixelserve cost` as a user meets it: every action and form, wrong words, and what it does not import."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
import subprocess
import sys
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest
from playwright.sync_api import sync_playwright

from pixelserve_deploy import cli
from pixelserve_deploy.commands.cost import ACTIONS
from pixelserve_deploy.cost import MONTH_HOURS
from pixelserve_deploy.options import parse_number, parse_part, parse_size
from pixelserve_deploy.reports.charts import choose_ticks

CHROMIUM = shutil.which("chromium")
RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"
PIPELINE, SIMILARITY = str(RESULTS / "pipeline.json"), str(RESULTS / "similarity.json")


def run(capsys, *words: str, code: int = 0) -> str:
    assert cli.main(["cost", *words]) == code
    return capsys.readouterr().out


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_explains_itself_with_examples(action, capsys) -> None:
    with pytest.raises(SystemExit) as end:
        cli.main(["cost", action, "--help"])
    assert end.value.code == 0
    assert f"examples:\n  pixelserve cost {'estimate' if action == 'diff' else action}" in capsys.readouterr().out


def test_the_documents_are_reckoned_without_aws_packages() -> None:
    program = (
        "import sys; from pixelserve_deploy import cli; cli.main(['cost', 'table'])\n"
        "heavy = {'boto3', 'botocore', 'sagemaker', 'numpy', 'torch', 'pydantic', 'httpx', 'cv2'} & set(sys.modules)\n"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_an_estimate_of_the_documents_job(capsys) -> None:
    words = ["estimate", "--book", "aws-2022-06", "--policy", "documented-corrected", "--gateway"]
    (bill,) = json.loads(run(capsys, *words, "--format", "json"))
    amounts = {row["line"]: row["amount"] for row in bill["rows"]}
    assert amounts == {"gateway-requests": "3.5", "data-transfer-out": "360", "logs": "5", "registry": "0.05",
                       "hosting": "537.28", "data-in": "16", "data-out": "64"}  # fmt: skip
    assert bill["total"] == str(sum(map(Decimal, amounts.values()))) == bill["per_million"]


def test_options_change_what_they_name(capsys) -> None:
    def amounts(*words: str) -> dict[str, str]:
        (bill,) = json.loads(run(capsys, "estimate", *words, "--format", "json"))
        return {row["line"]: row["amount"] for row in bill["rows"]}

    assert amounts("--codec", "jpeg")["data-transfer-out"] == "233.1"
    assert amounts("--codec", "webp", "--scale", "4", "--megapixels", "4")["data-out"] == "66.56"
    assert "data-transfer-out" not in amounts("--in-region")
    assert "gateway-requests" not in amounts()
    assert amounts("--documented")["gateway-requests"] == "3.5"
    assert amounts("--documented")["data-transfer-out"] == "480.00024"
    assert amounts("--scale", "4")["data-out"] == "256"
    assert amounts("--megapixels", "2")["data-out"] == "32"
    assert {"s3-put", "s3-get", "s3-storage"} <= set(amounts("--link"))
    assert amounts("--requests", "3M")["hosting"] == "1075.144"
    assert amounts("--requests", "3M", "--instances", "2")["hosting"] == "1075.144"
    assert amounts("--mode", "autoscaled", "--requests", "3.6M")["hosting"] == "1052"
    free = amounts("--mode", "lambda", "--cpu-seconds", "1", "--free-tier", "--codec", "jpeg")
    assert (free["lambda-requests"], free["data-transfer-out"]) == ("0", "224.1")
    assert "! Free of data-transfer-out: 100 GB a month (unverified)." in run(capsys, "estimate", "--free-tier")
    assert amounts("--requests", "5M", "--no-tiers")["data-transfer-out"] == "1800"


def test_seconds_can_come_from_a_benchmark(capsys) -> None:
    words = ["estimate", "--measured", PIPELINE, "--instance", "ml.c6i.xlarge", "--mode", "batch"]
    rows = json.loads(Path(PIPELINE).read_text())["rows"]
    for scale in (2, 4):
        printed = run(capsys, *words, "--scale", str(scale))
        rate = max(row["images_per_second"] for row in rows if row["scale"] == scale)
        seconds = 1 / rate * 4_000_000 / 512**2
        assert f"{1e6 * seconds / 3600 + float(MONTH_HOURS) / 24 / 6:,.2f} h ml.c6i.xlarge" in printed
    assert "in proportion to the pixels." in printed
    assert "! unverified" in printed


def test_measured_times_grow_with_the_pictures(capsys) -> None:
    """2.9 s at 512x512 are 44 s at 4 megapixels: more than a latency of 3 s, and than the gateway waits."""
    words = ["estimate", "--measured", PIPELINE, "--instance", "ml.c6i.xlarge"]
    assert cli.main(["cost", *words, "--latency", "3"]) == 1
    assert "the best has 44.3071" in capsys.readouterr().err
    assert cli.main(["cost", *words, "--gateway"]) == 1
    assert "behind API Gateway ends after 29 s; a request takes 44.31 s" in capsys.readouterr().err
    run(capsys, *words, "--latency", "3", "--megapixels", "0.25")


@pytest.mark.parametrize("name", ["serving", "codecs", "segmentation"])
def test_rows_that_are_no_pictures_are_no_prices(name, capsys) -> None:
    path = str(RESULTS / f"{name}.json")
    for words in (
        ["estimate", "--measured", path, "--instance", "ml.c6i.xlarge"],
        ["from-benchmark", path, "--instance", "ml.c6i.xlarge"],
    ):
        assert cli.main(["cost", *words]) == 1
        assert f"{name} has no row that prices this job. Rows that do have images_per_second" in capsys.readouterr().err


def test_comparing_tells_reasons_and_break_evens(capsys) -> None:
    documented = ["--seconds", "1", "--utilisation", "100%", "--book", "aws-2022-06"]
    words = ["compare", "--model", "human-image-segmentation", *documented]
    data = json.loads(run(capsys, *words, "--format", "json", code=1))  # asynchronous and batch prices are missing
    assert data["break_even"][0]["machines"] == "2013286"
    assert [mode["mode"] for mode in data["modes"] if mode["possible"]] == ["lambda", "realtime", "autoscaled"]
    similar = ["compare", "--model", "image-similarity", *documented]
    assert json.loads(run(capsys, *similar, "--format", "json", code=1))["break_even"][0]["machines"] == "never"
    printed = run(capsys, *similar, code=1)
    assert "Driven at 100 % they serve 2,628,000 requests a month" in printed
    assert "  serverless inference has 6144 MB at most, not 10240: measure with less." in printed
    assert all(len(row) < 160 for row in printed.splitlines() if row.startswith("  serverless inference  "))


def test_a_simulation_accounts_for_every_request(capsys, tmp_path) -> None:
    (tmp_path / "trace.csv").write_text("minute,requests\n" + "".join(f"{minute},{minute}\n" for minute in range(120)))
    data = json.loads(run(capsys, "simulate", "--trace", str(tmp_path / "trace.csv"), "--format", "json"))
    assert data["served_in_time"] + data["late"] + data["failed"] == data["offered"] == 119 * 60
    hosting = next(row for row in data["bill"]["rows"] if row["line"] == "hosting")
    assert Decimal(hosting["amount"]) == pytest.approx(
        Decimal(str(data["instance_hours"])) * Decimal("0.7364"), rel=Decimal("0.01")
    )
    bursts = ["simulate", "--generate", "bursty", "--days", "1", "--requests", "10k", "--format", "csv"]
    queued = dict(csv.reader(io.StringIO(run(capsys, *bursts, "--mode", "async"))))
    assert (queued["offered"], queued["failed"]) == ("10000", "0")
    assert queued["marked_prices"].startswith("async-data hosting")
    live = json.loads(run(capsys, *bursts[:-1], "json", "--max", "1", "--gateway"))
    assert live["failed"] > 0
    amounts = {row["line"]: Decimal(row["amount"]) for row in live["bill"]["rows"]}
    answered = live["served_in_time"] + live["late"]
    assert amounts["data-transfer-out"] == answered * 4 * Decimal("0.09") / 1000
    assert amounts["gateway-requests"] == 10_000 * Decimal("3.5") / 10**6


def test_a_benchmark_becomes_dollars(capsys) -> None:
    words = ["from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge", "--utilisation", "100%"]
    data = json.loads(run(capsys, *words, "--format", "json"))
    row = data["rows"][0]
    assert float(row["per_thousand"]) == pytest.approx(1000 / 3600 * 0.204 / float(row["images_per_second"]))
    assert Decimal(row["low"]) < Decimal(row["per_thousand"]) < Decimal(row["high"])
    assert data["counted"] == "the instance alone"
    price = ["--price", "AmazonSageMaker/hosting/ml.c6i.xlarge=0.408"]
    dearer = json.loads(run(capsys, *words, *price, "--format", "json"))
    assert float(dearer["rows"][0]["per_thousand"]) == pytest.approx(2 * float(row["per_thousand"]))
    assert dearer["status"] == "given"
    assert "! derived" in run(capsys, *words)


@pytest.mark.parametrize("endpoint", ["blur", "image-similarity"])
@pytest.mark.parametrize(
    ("row", "machine", "words"),
    [
        ({"scale": 4, "sizes": {"request": 9000, "answer": 90_000, "pixels": 65_536}}, {}, ["--latency", "0.3"]),
        ({"scale": 2, "sizes": {"request": 9000, "answer": 40_000}}, {"instance": "ml.g5.xlarge"}, []),
        ({"sizes": {"request": 25_000, "answer": 70_000, "pixels": 9_000_000}}, {}, ["--region", "us-east-1"]),
        ({"sizes": {}}, {}, ["--price", "AmazonSageMaker/hosting/ml.c6i.xlarge=0.3", "--utilisation", "0.5"]),
    ],
)
def test_the_words_of_the_whole_bill_run(endpoint, row, machine, words, tmp_path, capsys) -> None:
    """For each kind of row that `measure` writes, they price it at its own speed and sizes."""
    times = dict.fromkeys(("mean", "p50", "p90", "p99", "max"), 0.25)
    row = {"endpoint": endpoint, "images_per_second": 5.0, "seconds": {"count": 9, **times}, **row}
    machine = {"cpu": "CPU", "cores": 2, "gpu": None, **machine}
    result = {"schema": "pixelserve-benchmark/1", "name": "m", "date": "2026-11-30", "machine": machine, "rows": [row]}
    path = tmp_path / "my run.json"
    path.write_text(json.dumps(result))
    instance = [] if "instance" in machine else ["--instance", "ml.c6i.xlarge"]
    told = run(capsys, "from-benchmark", str(path), *instance, *words)
    (line,) = [line.partition("too: ")[2] for line in told.splitlines() if "too: " in line]
    asked = shlex.split(line)
    assert asked[:2] == ["pixelserve", "cost"]
    (bill,) = json.loads(run(capsys, *asked[2:], "--format", "json"))
    said = bill["assumptions"]
    is_timed_by_size = "scale" in row and "pixels" not in row["sizes"]
    assert is_timed_by_size or said["seconds"].startswith("0.2 on ")
    if "answer" in row["sizes"]:
        assert said["answer"] == f"{row['sizes']['answer'] // 1000} KB, raw"
    assert set(words) <= set(asked)


def test_the_words_of_the_pipelines_bill_run(capsys) -> None:
    for words in ([], ["--scale", "4", "--latency", "5"]):
        told = run(capsys, "from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge", *words)
        (line,) = [line.partition("too: ")[2] for line in told.splitlines() if "too: " in line]
        (bill,) = json.loads(run(capsys, *shlex.split(line)[2:], "--format", "json"))
        assert f"{462 if words else 170}" in bill["assumptions"]["answer"]


def test_what_if_shows_what_remains(capsys) -> None:
    printed = run(capsys, "estimate", "--what-if")
    assert "$648.21     100.0 %" in printed
    assert "$653.16     100.8 %" in printed
    assert "asynchronous on ml.g4dn.2xlarge, scaled to zero" in printed


def test_a_week_is_simulated_where_endpoints_can_scale(capsys) -> None:
    """150 M requests at their peak need more than the ten instances of `simulate`."""
    week = run(capsys, "estimate", "--requests", "150M")
    assert "A week, autoscaled: 168 h by the minute" in week
    assert 13_000 < float(re.search(r"Instance hours billed +([\d,.]+)", week)[1].replace(",", "")) < 15_000
    assert "A week, autoscaled" in run(capsys, "estimate", "--mode", "autoscaled", "--instances", "12")
    assert "A week" not in run(capsys, "estimate", "--mode", "batch")


@pytest.mark.parametrize("option", ["--cpu-seconds", "--memory", "--instances", "--starts-a-day"])
def test_simulate_has_no_options_that_it_does_not_heed(option, capsys) -> None:
    with pytest.raises(SystemExit):
        cli.main(["cost", "simulate", "--generate", "diurnal", option, "1"])
    assert f"unrecognized arguments: {option}" in capsys.readouterr().err


def test_the_page_on_costs_has_the_table_that_is_printed(capsys) -> None:
    """But for the last row, which follows a benchmark's result."""
    printed = run(capsys, "estimate", "--what-if", "--format", "markdown")
    rows = [line for line in printed.splitlines() if line.startswith("|")][:13]
    assert "\n".join(rows) in (RESULTS.parents[1] / "docs" / "cost.md").read_text()


def test_diff_fails_above_its_limit(capsys, tmp_path) -> None:
    paths = [str(tmp_path / name) for name in ("a.json", "b.json")]
    run(capsys, "estimate", "--codec", "webp", "-o", paths[0])
    run(capsys, "estimate", "-o", paths[1])
    assert cli.main(["cost", "diff", *paths, "--fail-above", "60%"]) == 0
    assert cli.main(["cost", "diff", *paths, "--fail-above", "10%"]) == 1
    assert "the total rose by more than 10 %." in capsys.readouterr().err
    assert cli.main(["cost", "diff", *reversed(paths), "--fail-above", "0"]) == 0
    run(capsys, "table", "-o", paths[0])
    assert cli.main(["cost", "diff", paths[0], paths[0], "--fail-above", "0", "--format", "json"]) == 0
    assert cli.main(["cost", "diff", *paths]) == 1
    assert "The files have different bills" in capsys.readouterr().err


@pytest.mark.parametrize("language", ["en", "zh"])
def test_exact_amounts_have_their_own_usage_beside_them(language, capsys) -> None:
    """The document's 4 MB are 5.333 MB on the wire, and its 278 hours are 277.78."""
    table = ["table", "image_super_resolution", "--lang", language, "--format", "json"]
    ((exact,), (printed,)) = (json.loads(run(capsys, *table, "--policy", name)) for name in ("exact", "as-documented"))
    assert {"5.333 MB out per call", "277.78 h ml.g4dn.xlarge"} <= {row["usage"] for row in exact["rows"]}
    assert not {"5.333 MB out per call"} & {row["usage"] for row in printed["rows"]}
    assert [row["service"] for row in exact["rows"]] == [row["service"] for row in printed["rows"]]


class _Page(HTMLParser):
    """Collects the tags and what they fetch."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [str(value) for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize(
    ("words", "charts"),
    [
        (["estimate"], 4),
        (["compare", "--cpu-seconds", "9"], 1),
        (["simulate", "--generate", "diurnal", "--days", "2"], 2),
        (["table", "--lang", "zh"], 5),
        (["from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge"], 0),
    ],
)
def test_html_is_one_file_with_charts(words, charts, tmp_path, capsys) -> None:
    run(capsys, *words, "-o", str(tmp_path / "report.html"))
    page = _Page((tmp_path / "report.html").read_text())
    assert page.fetched == []
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert page.tags.count("svg") == charts
    assert page.open == []


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
def test_a_phone_shows_charts_in_letters_that_can_be_read(tmp_path, capsys) -> None:
    run(capsys, "estimate", "-o", str(tmp_path / "bill.html"))
    with sync_playwright() as playwright, playwright.chromium.launch(executable_path=CHROMIUM) as browser:
        page = browser.new_page(viewport={"width": 360, "height": 740})
        page.goto((tmp_path / "bill.html").as_uri())
        heights = page.evaluate("[...document.querySelectorAll('svg text')].map(t => t.getBoundingClientRect().height)")
        assert len(heights) > 50
        assert min(height for height in heights if height) >= 11
        assert page.evaluate("document.documentElement.scrollWidth") == 360  # charts scroll in their own boxes


@pytest.mark.parametrize(
    ("words", "column"),
    [
        (["estimate", "--what-if"], "total"),
        (["from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge"], "per_thousand"),
        (["compare", "--cpu-seconds", "9", "--link"], "total"),
    ],
)
def test_csv_has_plain_numbers(words, column, capsys) -> None:
    rows = list(csv.DictReader(io.StringIO(run(capsys, *words, "--format", "csv"))))
    assert all(Decimal(row[column]) > 0 and row["currency"] == "USD" for row in rows if row["currency"])
    assert any(row["currency"] for row in rows)


def test_a_free_tier_that_there_is_not_is_told(capsys) -> None:
    china = ["--model", "human-image-segmentation", "--region", "cn-northwest-1", "--free-tier"]
    for words in (["estimate", *china, "--mode", "lambda"], ["compare", *china]):
        assert cli.main(["cost", *words]) == 1
        assert "aws-cn-2026-11 has no free allowances: leave out --free-tier." in capsys.readouterr().err


def test_simulate_explains_its_bill(capsys) -> None:
    words = ["simulate", "--generate", "diurnal", "--days", "1"]
    assert "Rounding none" in run(capsys, *words, "--explain")
    assert "Rounding none" not in run(capsys, *words)


@pytest.mark.parametrize("form", ["csv", "markdown", "table", "json", "html"])
def test_marked_prices_are_marked_in_every_form(form, capsys) -> None:
    """What people read has `!` before them; JSON and CSV have the bare status in a column of its own."""
    printed = run(capsys, "estimate", "--mode", "batch", "--format", form)
    assert ("! unverified" if form in ("markdown", "table", "html") else "unverified") in printed


def test_csv_has_one_line_for_each_of_the_bill(capsys) -> None:
    rows = list(csv.DictReader(io.StringIO(run(capsys, "table", "--format", "csv"))))
    assert len(rows) == 31
    assert sum(Decimal(row["amount"]) for row in rows if row["id"].startswith("image_super")) == Decimal("648.21")


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        ([], 2, "the following arguments are required: ACTION"),
        (["estimate", "--region", "mars-1"], 1, "No price book has prices of mars-1. Regions: ap-northeast-1"),
        (
            ["estimate", "--region", "cn-northwest-1"],
            1,
            "Give them: --price AmazonSageMaker/hosting/ml.g4dn.xlarge=AMOUNT --price AmazonSageMaker/data-in=AMOUNT",
        ),
        (
            ["estimate", "--mode", "serverless", "--cpu-seconds", "1", "--encoding", "base64"],
            1,
            "the answer has 5.333336 MB",
        ),
        (["estimate", "--mode", "lambda"], 1, "with 4096 MB is not known: give --cpu-seconds"),
        (["estimate", "--mode", "lambda", "--seconds", "1"], 2, "--seconds changes nothing of Lambda: leave it out"),
        (["estimate", "--model", "image-similarity"], 1, "how long a request takes on ml.g4dn.xlarge is not known"),
        (["estimate", "--model", "cat"], 1, "Nothing is known of the model cat"),
        (["estimate", "--requests", "many"], 2, "'many' is no number: write 1000000, 1e6, 1M or 250k"),
        (["estimate", "--requests", "1,5"], 2, "'1,5' is no number"),
        (["estimate", "--request-bytes", "1XB"], 2, "'1XB' is no size"),
        (["estimate", "--codec", "jpeg", "--response-bytes", "1MB"], 2, "--response-bytes or --codec, not both"),
        (["estimate", "--utilisation", "0"], 2, "--utilisation is above 0"),
        (["estimate", "--latency", "1"], 2, "--latency goes with --measured"),
        (
            ["estimate", "--measured", PIPELINE, "--concurrency", "2"],
            2,
            "--measured or --concurrency, not both: the measured rate has what runs at a time",
        ),
        (["estimate", "--seconds", "0"], 2, "--seconds is above 0"),
        (["estimate", "--policy", "guess"], 1, "There is no policy guess"),
        (
            ["estimate", "--what-if", "--model", "image-similarity", "--seconds", "1"],
            2,
            "--what-if is about the documents' job and does not heed --model, --seconds",
        ),
        (["estimate", "--what-if", "--instance", "ml.g5.xlarge"], 2, "not heed --instance without --measured"),
        (["estimate", "--what-if", "--region", "us-east-1"], 2, "does not heed --region"),
        (
            ["estimate", "-o", "/nowhere/a.html"],
            1,
            "Cannot write /nowhere/a.html: there is no folder /nowhere. Make it",
        ),
        (
            ["estimate", "-o", "bill.xls"],
            2,
            "-o bill.xls: name it .json, .csv, .md, .html, or say its form with --format",
        ),
        (["estimate", "-o", "a.csv", "--format", "json"], 2, "is csv, and --format says json"),
        (
            ["estimate", "--requests", "3M", "--instances", "1"],
            1,
            "driven at 70 % serve 1,839,600 requests a month, not 3,000,000: take 2",
        ),
        (
            ["estimate", "--instance", "ml.c6i.xlarge"],
            1,
            "a request takes on ml.c6i.xlarge is not known: give --seconds",
        ),
        (["estimate", "--measured", PIPELINE], 2, "--measured was measured on AMD EPYC, 2 cores: give --instance"),
        (["estimate", "--price", "AmazonS3/storage=1"], 1, "AmazonS3/storage: no line of the bill has it"),
        (["estimate", "--price", "gold=1"], 1, "There is no price gold. Names: AWSDataTransfer/out, "),
        (["simulate", "--trace", "x.csv", "--days", "3"], 2, "--days: the trace says it already"),
        (
            ["compare", "--features", "image-similarity,human-image-segmentation", "--starts-a-day", "3"],
            2,
            "--starts-a-day changes nothing of real-time",
        ),
        (["estimate", "--measured", "/nowhere.json"], 1, "Cannot read /nowhere.json"),
        (
            ["simulate", "--generate", "diurnal", "--seconds", "30", "--gateway"],
            1,
            "behind API Gateway ends after 29 s",
        ),
        (
            ["simulate", "--generate", "diurnal", "--mode", "async", "--seconds", "4000"],
            1,
            "asynchronous, scaled to zero ends after 3600 s; a request takes 4,000 s",
        ),
        (["simulate"], 2, "give --trace CSV, or --generate diurnal or bursty"),
        (["simulate", "--generate", "diurnal", "--days", "0"], 2, "--days is 1 to 366"),
        (["simulate", "--generate", "diurnal", "--days", "100000"], 2, "--days is 1 to 366"),
        (["estimate", "--requests", "1e30"], 2, "'1e30' is too large: 1,000,000,000,000 is the most"),
        (["estimate", "--requests", "1e400"], 2, "'1e400' is too large"),
        (["estimate", "--log-bytes", "1e30"], 2, "'1e30' is too large"),
        (["estimate", "--instances", "1" + "0" * 40], 1, "more digits than can be reckoned exactly"),
        (["estimate", "--utilisation", "nan"], 2, "'nan' is no part: write 10% or 0.1"),
        (["diff", "a.json", "b.json", "--fail-above", "nan"], 2, "'nan' is no part"),
        (["estimate", "--megapixels", "0"], 2, "--megapixels is above 0"),
        (["estimate", "--concurrency", "0"], 2, "--concurrency is above 0"),
        (["estimate", "--swing", "200%"], 2, "--swing is above 0 and at most 100%"),
        (["simulate", "--generate", "diurnal", "--min", "5", "--max", "2"], 1, "5 to 2 instances is no range"),
        (
            ["from-benchmark", PIPELINE, "--instance", "ml.zz.xlarge"],
            1,
            "no price of AmazonSageMaker hosting ml.zz.xlarge",
        ),
        (
            ["from-benchmark", PIPELINE, "--instance", "ml.c6i.xlarge", "--price", "AWSDataTransfer/out=1"],
            1,
            "--price AWSDataTransfer/out: no line of the bill has it. It has AmazonSageMaker/hosting/ml.c6i.xlarge",
        ),
        (
            ["from-benchmark", SIMILARITY, "--instance", "ml.c6i.xlarge", "--scale", "4"],
            2,
            "--scale 4: no row of similarity has a scale, so leave it out",
        ),
        (
            ["estimate", "--what-if", "--memory", "2048", "--no-tiers"],
            2,
            "does not heed --memory, --no-tiers",
        ),
        (
            ["estimate", "--what-if", "--instances", "1", "--utilisation", "30%"],
            1,
            "driven at 30 % serve 788,400 requests a month, not 1,000,000: take 2",
        ),
        (["refresh", "--region", "us-east-2", "--book", "aws-cn-2026-11"], 1, "us-east-2 is in aws"),
        (["refresh", "--region", "us-east-2", "--service-code", "X"], 2, "write SERVICE=CODE"),
    ],
)
def test_wrong_words_end_with_one_line_and_a_way_out(words, code, expected, capsys) -> None:
    try:
        ended = cli.main(["cost", *words])
    except SystemExit as end:
        ended = end.code
    assert ended == code
    assert expected in capsys.readouterr().err


def test_numbers_are_written_as_people_do() -> None:
    assert [parse_number(text) for text in ("1e6", "1 M", "250k", "1,000", "0.5", "5e-1")] == [
        10**6,
        10**6,
        250_000,
        1000,
        Decimal("0.5"),
        Decimal("0.5"),
    ]
    assert [parse_size(text) for text in ("1MB", "100KB", "12", "2 GB")] == [10**6, 100_000, 12, 2 * 10**9]
    assert [parse_part(text) for text in ("10%", "0.1", "0")] == [Decimal("0.1"), Decimal("0.1"), 0]


@pytest.mark.parametrize("largest", [0.003, 1, 7, 999, 1000, 2_628_000])
def test_axes_have_few_round_ticks_that_reach_the_end(largest) -> None:
    found = choose_ticks(largest)
    assert 4 <= len(found) <= 9
    assert found[-1] >= largest > found[-2]
