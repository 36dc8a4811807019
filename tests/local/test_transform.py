"""Batch transform: real servers, folders, moto's S3; a scripted server where an answer must be a certain one."""

import io
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import boto3
import httpx
import local_handlers as handlers
import pytest
from moto.server import ThreadedMotoServer

from pixelserve.errors import BadRequest
from pixelserve.local import Source
from pixelserve.local.endpoints import started, wait_until_ready
from pixelserve.local.transform import Job, TransformFailed, job_environment, records_of, run_job
from pixelserve.processes import ServerFailed
from pixelserve.storage import Folder, place

ECHO = """
from pixelserve.errors import BadRequest

PIPELINE = True

def model_fn(model_dir):
    return None

def input_fn(body, content_type):
    if b"bad" in body:
        raise BadRequest("This one is bad. Leave it out.")
    return f"{content_type}:{body.decode()};"

def predict_fn(data, model):
    return data

def output_fn(prediction, accept):
    return prediction, "text/plain"
"""


@pytest.fixture(scope="module")
def echo(tmp_path_factory):
    source = Source("echo", handlers.write(tmp_path_factory.mktemp("echo"), ECHO))
    with started([source], extra=job_environment("MULTI_RECORD", 2, 1)) as (endpoint,):
        wait_until_ready([endpoint])
        yield endpoint


@pytest.fixture
def moto(monkeypatch):
    server = ThreadedMotoServer("127.0.0.1", 0)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    client = boto3.client("s3", region_name="us-east-1")
    client.create_bucket(Bucket="transforms")
    yield client
    server.stop()


def folder_with(path, **contents):
    for name, content in contents.items():
        file = path / name.replace("__", "/").replace("_", ".")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return Folder(path)


def texts(folder):
    return {name: folder.read(name, 10_000_000)[0].decode() for name in folder.names()}


def test_the_server_says_what_the_job_set(echo):
    parameters = httpx.get(f"{echo.url}/execution-parameters", trust_env=False).json()
    assert parameters == {"MaxConcurrentTransforms": 2, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": 1}
    assert job_environment(None, None, None) == {"SAGEMAKER_BATCH": "true", "PIXELSERVE_DRAIN_SECONDS": "1"}


def test_every_file_has_its_answer_and_failures_are_told(echo, tmp_path):
    source = folder_with(tmp_path / "in", a_json=b"{}", sub__b=b"b", c_json=b"bad", d=b"", big=bytes(1_000_001))
    outcomes = []
    report = run_job(echo, Job(source, Folder(tmp_path / "out")), outcomes.append)
    assert texts(Folder(tmp_path / "out")) == {
        "a.json.out": "application/json:{};",
        "sub/b.out": "application/octet-stream:b;",
    }
    assert (report.done, report.skipped) == (2, 0)
    assert list(report.failures) == ["big", "c.json", "d"]
    assert report.failures["c.json"] == "This one is bad. Leave it out."
    assert report.failures["d"] == "The body is empty. Send the model's input in it."
    assert report.failures["big"].startswith("big has 1,000,001 bytes; the endpoint takes 1,000,000.")
    assert [(outcome.name, outcome.number, outcome.total) for outcome in outcomes] == [
        (name, number, 5) for number, name in enumerate(source.names(), start=1)
    ]


def test_a_job_goes_on_where_it_ended(echo, tmp_path):
    source = folder_with(tmp_path / "in", a=b"1", b=b"2")
    target = folder_with(tmp_path / "out", a_out=b"kept")
    report = run_job(echo, Job(source, target), lambda _: None)
    assert (report.done, report.skipped) == (1, 1)
    assert texts(target) == {"a.out": "kept", "b.out": "application/octet-stream:2;"}
    report = run_job(echo, Job(source, target, overwrite=True), lambda _: None)
    assert (report.done, report.skipped) == (2, 0)
    assert texts(target)["a.out"] == "application/octet-stream:1;"


def test_lines_are_sent_together_and_one_that_fails_fails_its_file(echo, tmp_path):
    long = b"x" * 600_000
    source = folder_with(tmp_path / "in", a_csv=b"1\n2\n3", b_csv=b"%b\n%b\n4\n" % (long, long), c_csv=b"1\nbad\n")
    job = Job(source, Folder(tmp_path / "out"), split_lines=True, assemble_lines=True)
    report = run_job(echo, job, lambda _: None)
    out = texts(Folder(tmp_path / "out"))
    assert out["a.csv.out"] == "text/csv:1\n2\n3;\n"
    assert out["b.csv.out"] == f"text/csv:{long.decode()};\ntext/csv:{long.decode()}\n4;\n"
    assert report.failures == {"c.csv": "This one is bad. Leave it out."}


def test_s3_is_read_and_written(echo, moto, tmp_path):
    for key, body in {"in/a b.json": b"1", "in/sub/é.json": b"2", "in/folder/": b"", "inner/x": b"3"}.items():
        moto.put_object(Bucket="transforms", Key=key, Body=body)
    job = Job(place("s3://transforms/in"), place("s3://transforms/out"), split_lines=True)
    report = run_job(echo, job, lambda _: None)
    assert (report.done, report.failures) == (2, {})
    assert place("s3://transforms/out").names() == ["a b.json.out", "sub/é.json.out"]
    stored = moto.get_object(Bucket="transforms", Key="out/sub/é.json.out")
    assert (stored["Body"].read(), stored["ContentType"]) == (b"application/json:2;", "text/plain")


def test_keys_do_not_lead_out_of_the_output_folder(echo, moto, tmp_path):
    keys = ["../escape", "a/../../escape", "//absolute", "sub/./x", "a\\b", "link/x", "fine"]
    for key in keys:
        moto.put_object(Bucket="transforms", Key=f"hostile/{key}", Body=b"x")
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "link").symlink_to(tmp_path / "elsewhere")
    report = run_job(echo, Job(place("s3://transforms/hostile"), Folder(tmp_path / "out")), lambda _: None)
    assert sorted(report.failures) == sorted(set(keys) - {"a\\b", "fine"})
    assert "leads out of" in report.failures["link/x"]
    assert "Rename the object" in report.failures["../escape"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["elsewhere", "out"]
    assert list((tmp_path / "elsewhere").iterdir()) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a\\b.out", "fine.out", "link"]


def test_the_job_ends_with_its_server(tmp_path):
    source = Source("echo", handlers.write(tmp_path / "echo", ECHO))
    with started([source], extra=job_environment(None, 1, None)) as (endpoint,):
        wait_until_ready([endpoint])

        def kill(_):
            endpoint.server.kill()
            endpoint.server.wait(10)

        job = Job(folder_with(tmp_path / "in", **{f"a{n}": b"1" for n in range(20)}), Folder(tmp_path / "out"))
        with pytest.raises(ServerFailed, match="signal 9"):
            run_job(endpoint, job, kill)
    assert 1 <= len(Folder(tmp_path / "out").names()) < 20


def test_what_kills_its_worker_is_lost_and_nothing_else(tmp_path):
    source = Source("frail", handlers.write(tmp_path / "frail", handlers.FRAIL))
    numbers = {f"a{number}_json": b"%d" % number for number in range(40)}
    with started([source], extra=job_environment(None, 4, None)) as (endpoint,):
        wait_until_ready([endpoint])
        job = Job(folder_with(tmp_path / "in", **numbers), Folder(tmp_path / "out"))
        report = run_job(endpoint, job, lambda _: None)
    assert list(report.failures) == ["a13.json"]
    assert "The worker ended while it had this request" in report.failures["a13.json"]
    assert report.done == 39


class Scripted:
    """What `transform` knows of an endpoint."""

    def __init__(self, url):
        self.url = url

    def check_alive(self):
        """It lives as long as the test."""


@contextmanager
def scripted(answer, concurrency=2):
    """A server that says `answer(body) -> (status, headers, body)`; None closes the connection.

    Without `concurrency` it has no /execution-parameters.
    """

    class Handler(BaseHTTPRequestHandler):
        def reply(self, status, headers, body):
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            if concurrency is None:
                self.reply(404, {}, b"")
                return
            wants = {"MaxConcurrentTransforms": concurrency, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 1}
            self.reply(200, {}, json.dumps(wants).encode())

        def do_POST(self):
            answered = answer(self.rfile.read(int(self.headers["content-length"])))
            if answered is not None:
                self.reply(*answered)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        try:
            yield Scripted(f"http://127.0.0.1:{server.server_port}")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(("refusals", "expected"), [(3, "done"), (4, "Full. Try later.")])
def test_a_refused_request_is_sent_again_three_times(tmp_path, refusals, expected):
    left = [429, 503, 503, 429][:refusals]

    def answer(body):
        if left:
            refused = json.dumps({"error": {"message": "Full. Try later."}}).encode()
            return left.pop(), {"retry-after": "0"}, refused
        return 200, {}, b"done"

    source = folder_with(tmp_path / "in", a=b"1")
    with scripted(answer) as endpoint:
        report = run_job(endpoint, Job(source, Folder(tmp_path / "out")), lambda _: None)
    assert (texts(Folder(tmp_path / "out")).get("a.out") or report.failures["a"]) == expected


@pytest.mark.parametrize(
    ("answered", "message"),
    [((500, {}, b"<html>"), "The server answered 500."), (None, "The server did not answer: ")],
)
def test_what_is_no_error_of_ours_is_told_too(tmp_path, answered, message):
    source = folder_with(tmp_path / "in", a=b"1")
    with scripted(lambda _: answered) as endpoint:
        report = run_job(endpoint, Job(source, Folder(tmp_path / "out")), lambda _: None)
    assert report.failures["a"].startswith(message)


def test_as_many_are_in_flight_as_the_server_asks_for(tmp_path):
    together = threading.Barrier(3, timeout=20)  # breaks, which fails the answers, unless three come at once
    in_flight = []
    most = []

    def answer(body):
        in_flight.append(body)
        together.wait()
        most.append(len(in_flight))
        together.wait()
        in_flight.remove(body)
        return 200, {}, body

    source = folder_with(tmp_path / "in", a=b"1\n2\n3\n4\n", b=b"5\n6\n", **{f"c{n}": b"%d" % n for n in (7, 8, 9)})
    with scripted(answer, concurrency=3) as endpoint:
        report = run_job(endpoint, Job(source, Folder(tmp_path / "out"), split_lines=True), lambda _: None)
    assert report.failures == {}
    assert set(most) == {3}
    assert texts(Folder(tmp_path / "out")) == {
        "a.out": "1234",
        "b.out": "56",
        "c7.out": "7",
        "c8.out": "8",
        "c9.out": "9",
    }


@pytest.mark.parametrize(
    ("wishes", "requests", "failed"),
    [
        ({}, [b"1", b"2", b"3"], ["b has 6,000,001 bytes; the endpoint takes 6,000,000."]),
        ({"strategy": "MULTI_RECORD", "concurrency": 2, "payload_megabytes": 7}, [b"1\n2\n3"], []),
    ],
)
def test_a_server_that_does_not_say_what_it_wants_gets_what_the_job_says(tmp_path, wishes, requests, failed):
    got = []

    def answer(body):
        got.append(body)
        return 200, {}, b""

    lines = folder_with(tmp_path / "lines", a=b"1\n2\n3\n")
    large = folder_with(tmp_path / "large", b=bytes(6_000_001))
    with scripted(answer, concurrency=None) as endpoint:
        run_job(endpoint, Job(lines, Folder(tmp_path / "out"), split_lines=True, **wishes), lambda _: None)
        assert got == requests
        report = run_job(endpoint, Job(large, Folder(tmp_path / "out"), **wishes), lambda _: None)
    assert [message[: len(start)] for message, start in zip(report.failures.values(), failed, strict=True)] == failed


@pytest.mark.parametrize(
    ("data", "single", "together"),
    [
        (b"", [], []),
        (b"a\nb", [b"a", b"b"], [b"a\nb"]),
        (b"abc\nd\n", [b"abc", b"d"], [b"abc\nd"]),
        (b"abcd\ne\nf\n", [b"abcd", b"e", b"f"], [b"abcd", b"e\nf"]),
        (b"abcde\n\ng", [b"abcde", b"", b"g"], [b"abcde", b"\ng"]),
    ],
)
def test_lines_become_records(data, single, together):
    assert list(records_of(io.BytesIO(data), 5, single=True)) == single
    assert list(records_of(io.BytesIO(data), 5, single=False)) == together


def test_a_line_above_the_limit_is_refused():
    with pytest.raises(TransformFailed, match="more than 5 bytes"):
        list(records_of(io.BytesIO(b"abcdef\n"), 5, single=True))


@pytest.mark.parametrize("text", ["s3://", "s3://A", "s3://a/b\nc", "gs://bucket/x", "file:///tmp"])
def test_what_is_no_place_is_told(text):
    with pytest.raises(BadRequest, match="is no place for objects"):
        place(text)
