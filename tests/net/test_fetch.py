"""The guarded fetch: what it refuses, and what it gets over real HTTP."""

from __future__ import annotations

import http.server
import ipaddress
import socket
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from pixelserve.errors import FetchFailed, FetchRefused, FetchTooLarge, PixelserveError
from pixelserve.imaging import fetch
from pixelserve.imaging.fetch import is_allowed
from pixelserve.settings import Settings

PUBLIC = Settings(fetch_timeout=3)
PRIVATE = Settings(fetch_timeout=1, fetch_allow_private=True, fetch_max_bytes=1_000)

REFUSED = [
    "http://127.0.0.1/",
    "http://127.1/",
    "http://127.0.1/",
    "http://0/",
    "http://0.0.0.0/",
    "http://2130706433/",
    "http://017700000001/",
    "http://0x7f000001/",
    "http://0x7f.0.0.1/",
    "http://0177.0.0.1/",
    "http://localhost/",
    "http://10.0.0.1/",
    "http://172.16.5.4/",
    "http://192.168.1.1:8080/",
    "http://169.254.169.254/latest/meta-data/",
    "http://2852039166/latest/meta-data/",
    "http://0xa9fea9fe/",
    "http://169.254.170.2/v2/credentials",
    "http://100.64.0.1/",
    "http://100.100.100.200/",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    "http://224.0.0.1/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://198.18.0.1/",
    "http://[::1]/",
    "http://[::]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::7f00:1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[2002:7f00:1::]/",
    "http://[fec0::1]/",
    "http://[3fff::1]/",
    "http://[64:ff9b:1:a00:1:0:808:808]/",
    "http://192.88.99.1/",
    "http://[2001:0:4136:e378:8000:63bf:80ff:fffe]/",
    "http://[fd00:ec2::254]/",
    "http://[fe80::1]/",
    "http://[fc00::1]/",
    "http://[ff02::1]/",
    "https://127.0.0.1/",
    "http://user:secret@example.com/",
    "http://example.com@127.0.0.1/",
    "file:///etc/passwd",
    "ftp://example.com/x",
    "gopher://127.0.0.1:6379/_INFO",
    "data:image/png;base64,AAAA",
    "http://",
    "http:///x",
    "http://exa mple.com/",
    "http://example.com/\r\nHost: x",
    "http://example.com:99999/",
    "//example.com/x",
    "s3://somebody-elses-bucket/key",
]


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(url, PUBLIC)
    assert refused.value.param == "url"


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://[::ffff:a9fe:a9fe]/"])
def test_metadata_is_refused_even_where_private_addresses_are_allowed(url: str) -> None:
    with pytest.raises(FetchRefused):
        fetch(url, PRIVATE)


def test_public_addresses_are_allowed() -> None:
    for address in ("93.184.216.34", "2606:2800:220:1:248:1893:25c8:1946", "::ffff:93.184.216.34"):
        assert is_allowed(ipaddress.ip_address(address), allow_private=False)


class Site(http.server.BaseHTTPRequestHandler):
    """Redirects, large, slow, broken and good answers."""

    def do_GET(self) -> None:
        match self.path.partition("?")[0]:
            case "/good":
                self._answer(200, b"x" * 500)
            case "/large":
                self._answer(200, b"x" * 5_000)
            case "/large-unannounced":
                self.wfile.write(b"HTTP/1.0 200 OK\r\n\r\n" + b"x" * 5_000)
            case "/short":
                self.wfile.write(b"HTTP/1.0 200 OK\r\nContent-Length: 900\r\n\r\nxxx")
            case "/slow":
                self._drip(b"HTTP/1.0 200 OK\r\nContent-Length: 900\r\n\r\n" + b"x" * 900)
            case "/slow-headers":
                self._drip(b"HTTP/1.0 200 OK\r\nX-Filler: " + b"x" * 900)
            case "/%C3%BC%20b.png":
                self._answer(200, self.path.encode())
            case "/nowhere":
                self._answer(302, b"", Location="http://[")
            case "/missing":
                self._answer(404, b"")
            case "/loop":
                self._answer(302, b"", Location="/loop")
            case "/once":
                self._answer(302, b"", Location="/good?token=1")
            case path if path.startswith("/to/"):
                self._answer(302, b"", Location=path.removeprefix("/to/"))

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _drip(self, data: bytes) -> None:
        for byte in data:
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                return
            time.sleep(0.05)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_gets_a_file_also_through_a_redirect(site: str) -> None:
    assert fetch(f"{site}/good", PRIVATE) == b"x" * 500
    assert fetch(f"{site}/once", PRIVATE) == b"x" * 500


def test_a_path_that_is_not_ascii_is_percent_encoded(site: str) -> None:
    assert fetch(f"{site}/ü%20b.png?q=ß&r=1%2B1", PRIVATE) == b"/%C3%BC%20b.png?q=%C3%9F&r=1%2B1"


@pytest.mark.parametrize("path", ["/large", "/large-unannounced"])
def test_too_large(site: str, path: str) -> None:
    with pytest.raises(FetchTooLarge, match="PIXELSERVE_FETCH_MAX_BYTES"):
        fetch(site + path, PRIVATE)


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "answered 404"),
        ("/loop", "redirects more than 5 times"),
        ("/nowhere", "redirects to something that is no URL"),
        ("/short", "ended before the whole file"),
        ("/slow", "longer than 1 s"),
        ("/slow-headers", "longer than 1 s"),
    ],
)
def test_what_goes_wrong_is_said(site: str, path: str, reason: str) -> None:
    with pytest.raises(FetchFailed, match=reason):
        fetch(site + path, PRIVATE)


@pytest.mark.parametrize("target", ["http://169.254.169.254/", "file:///etc/passwd", "http://[fd00:ec2::254]/x"])
def test_redirects_are_checked_too(site: str, target: str) -> None:
    with pytest.raises(FetchRefused):
        fetch(f"{site}/to/{target}", PRIVATE)


def test_a_redirect_from_a_public_host_to_a_private_one(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The public host is the local site, made to look public for its own name only."""
    port = int(site.rpartition(":")[2])
    module = sys.modules["pixelserve.imaging.fetch"]  # the package's `fetch` is the function
    monkeypatch.setattr(module, "resolve", _public_only_for("public.test", "127.0.0.1"))
    with pytest.raises(FetchRefused, match="internal address"):
        fetch(f"http://public.test:{port}/to/http://127.0.0.1:{port}/good", Settings(fetch_timeout=3))


def _public_only_for(name: str, address: str) -> Any:
    from pixelserve.imaging.fetch import resolve

    def resolver(host: str, port: int, allow_private: bool) -> str:
        return address if host == name else resolve(host, port, allow_private)

    return resolver


def test_a_name_is_looked_up_once_and_the_checked_address_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """DNS rebinding: the name answers a public address first and a private one ever after."""
    looked_up: list[str] = []
    connected: list[str] = []

    def getaddrinfo(host: str, port: int, *args: Any, **kwargs: Any) -> list[Any]:
        looked_up.append(host)
        address = "93.184.216.34" if len(looked_up) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    def create_connection(address: tuple[str, int], *args: Any, **kwargs: Any) -> socket.socket:
        connected.append(address[0])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "create_connection", create_connection)
    with pytest.raises(FetchFailed):
        fetch("http://rebinding.test/x", PUBLIC)
    assert connected == ["93.184.216.34"]
    assert looked_up == ["rebinding.test"]
    with pytest.raises(FetchRefused):
        fetch("http://rebinding.test/x", PUBLIC)
    assert connected == ["93.184.216.34"]


def test_one_private_address_among_public_ones_is_enough_to_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 80)) for a in ("93.184.216.34", "10.0.0.1")]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: found)
    with pytest.raises(FetchRefused):
        fetch("http://mixed.test/", PUBLIC)


def test_errors_do_not_repeat_secrets_of_the_url(site: str) -> None:
    with pytest.raises(PixelserveError) as failed:
        fetch(f"{site}/missing?X-Amz-Signature=SECRET", PRIVATE)
    assert "SECRET" not in failed.value.message


def test_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    settings = Settings(s3_buckets=("pictures",), fetch_max_bytes=1_000)
    with mock_aws():
        client = boto3.client("s3")
        client.create_bucket(Bucket="pictures")
        client.put_object(Bucket="pictures", Key="folder/a.png", Body=b"abc")
        client.put_object(Bucket="pictures", Key="large.png", Body=b"x" * 2_000)
        assert fetch("s3://pictures/folder/a.png", settings) == b"abc"
        with pytest.raises(FetchTooLarge):
            fetch("s3://pictures/large.png", settings)
        with pytest.raises(FetchFailed, match="NoSuchKey"):
            fetch("s3://pictures/none.png", settings)
        with pytest.raises(FetchRefused, match="PIXELSERVE_S3_BUCKETS"):
            fetch("s3://other/a.png", settings)
        with pytest.raises(FetchRefused, match="characters that no key has"):
            fetch("s3://pictures/\ud800", settings)


def test_a_tls_handshake_that_never_ends_is_given_up() -> None:
    """The server accepts and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        with pytest.raises(FetchFailed, match="longer than 1 s"):
            fetch(f"https://127.0.0.1:{silent.getsockname()[1]}/a.png", PRIVATE)
        assert time.monotonic() - started < 5


def test_an_endless_url_is_refused() -> None:
    for url in ("http://" + "a" * 10_000, "s3://" + "a" * 10_000):
        with pytest.raises(FetchRefused) as refused:
            fetch(url, PUBLIC)
        assert len(refused.value.message) < 200
