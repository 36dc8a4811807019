"""The guarded fetch: what it refuses, and what it gets over real HTTP."""

from __future__ import annotations

import contextlib
import dataclasses
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import httpcore
import pytest
import sites
from hypothesis import given, settings
from hypothesis import strategies as st
from moto import mock_aws

import pixelserve.imaging
from pixelserve.errors import ClientGone, FetchFailed, FetchRefused, FetchTooLarge, PixelserveError
from pixelserve.net import WAITING, fetch
from pixelserve.settings import Settings

PUBLIC = Settings(fetch_timeout=3)
PRIVATE = Settings(fetch_timeout=1, fetch_allow_private=True, fetch_max_bytes=1_000)
EXAMPLE = "93.184.216.34"
"""A public address, which the fixture `internet` puts on this machine."""

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
    "http://[2606:2800:220:1:0:5efe:127.0.0.1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[fe80::1%25lo]/",
    "https://127.0.0.1/",
    "http://127。0。0。1/",
    "http://①②⑦.⓪.⓪.①/",
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
    "http://example.com:0/",
    "http://example.com:-1/",
    "http://[/",
    "http://%31%32%37.0.0.1/",
    "http://example.com\\@127.0.0.1/",
    "http://example.com/\ud800",
    "http://\ud800.com/",
    "//example.com/x",
    "s3://somebody-elses-bucket/key",
]


@pytest.mark.parametrize("url", ["http://127.0.0.1/", "https://example.com/a.png", "s3://bucket/a.png"])
def test_an_endpoint_that_fetches_nothing_says_what_to_send(url: str) -> None:
    with pytest.raises(FetchRefused, match="Send the image as the body, or in Base64 as img") as refused:
        fetch(url, Settings(fetch=False))
    assert refused.value.param == "url"


@pytest.mark.parametrize("url", REFUSED)
def test_refused(url: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(url, PUBLIC)
    assert refused.value.param == "url"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("http://127.1/", "127.1 is an internal address; only public ones are fetched."),
        ("file:///etc/passwd", "URLs of the scheme 'file' are not fetched: use http, https or s3."),
        ("example.com/a.png", "The URL has no scheme: write it whole, as https://…"),
        ("", "The URL has no scheme: write it whole, as https://…"),
        ("http://exa mple.com/", "The URL is not valid: it needs a host, without spaces."),
        ("http://xn--/x", "The URL is not valid: it needs a host, without spaces."),
        ("http://xn--a/x", "The URL is not valid: it needs a host, without spaces."),
        ("http://u:p@example.com/", "URLs with a user name or password are not fetched."),
        ("http://" + "a" * 10_000, "The URL is longer than 8,192 characters."),
        ("S3://pictures/a.png", "The bucket 'pictures' is not in PIXELSERVE_S3_BUCKETS."),
        ("s3://" + "a" * 10_000, "The S3 URL is too long or holds characters that no key has."),
    ],
)
def test_why_it_is_refused(url: str, reason: str) -> None:
    with pytest.raises(FetchRefused) as refused:
        fetch(url, PUBLIC)
    assert refused.value.message == reason


@pytest.mark.parametrize("url", ["http://169.254.169.254/", "http://[fd00:ec2::254]/", "http://[::ffff:a9fe:a9fe]/"])
def test_metadata_is_refused_even_where_private_addresses_are_allowed(url: str) -> None:
    with pytest.raises(FetchRefused):
        fetch(url, PRIVATE)


def test_gets_a_file_also_through_a_redirect(site: str) -> None:
    assert fetch(f"{site}/good", PRIVATE) == b"x" * 500
    assert fetch(f"{site}/once", PRIVATE) == b"x" * 500


def test_a_path_that_is_not_ascii_is_percent_encoded(site: str) -> None:
    assert fetch(f"{site}/ü%20b.png?q=ß&r=1%2B1", PRIVATE) == b"/%C3%BC%20b.png?q=%C3%9F&r=1%2B1"


@pytest.mark.parametrize("path", ["/large", "/large-unannounced", "/large-in-chunks"])
def test_too_large(site: str, path: str) -> None:
    with pytest.raises(FetchTooLarge, match="PIXELSERVE_FETCH_MAX_BYTES") as large:
        fetch(site + path, PRIVATE)
    assert large.value.param == "url"


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/missing", "127.0.0.1 answered 404."),
        ("/nothing", "127.0.0.1 answered 302."),
        ("/loop", "The URL redirects more than 5 times."),
        ("/nowhere", "The URL redirects to something that is no URL."),
        ("/to/http://exa%20mple.com/", "The URL redirects to something that is no URL."),
        ("/to/http://example.com:99999/", "The URL redirects to something that is no URL."),
        ("/to/http://xn--/x", "The URL redirects to something that is no URL."),
        ("/short", "The connection ended before the whole file was there."),
        ("/short-in-chunks", "The connection ended before the whole file was there."),
        ("/slow", "127.0.0.1 could not be fetched: it took longer than 1 s."),
        ("/slow-chunks", "127.0.0.1 could not be fetched: it took longer than 1 s."),
        ("/slow-headers", "127.0.0.1 could not be fetched: it took longer than 1 s."),
        ("/continue", "127.0.0.1 could not be fetched: it took longer than 1 s."),
        ("/long-head", "127.0.0.1 could not be fetched: the connection failed."),
        ("/no-gzip", "127.0.0.1 called its answer gzip, and it is not."),
        ("/often", "127.0.0.1 answered in more than 2 encodings, one in another."),
        ("/gzip-in-parts", "127.0.0.1 answered in several parts of gzip, which are not read."),
        ("/half-gzip", "The file at the URL is cut off."),
        ("/brotli", "127.0.0.1 answered in the encoding 'br', which is not read."),
        ("/no-http", "127.0.0.1 could not be fetched: the connection failed."),
    ],
)
def test_what_goes_wrong_is_said(site: str, path: str, reason: str) -> None:
    with pytest.raises(FetchFailed) as failed:
        fetch(site + path, PRIVATE)
    assert (failed.value.message, failed.value.param) == (reason, "url")


def test_a_flood_of_trailers_is_not_held(site: str) -> None:
    with pytest.raises(FetchFailed):
        fetch(f"{site}/long-trailer", PRIVATE)


def test_nobody_there() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(FetchFailed, match="could not be fetched: the connection failed"):
        fetch(f"http://127.0.0.1:{port}/", PRIVATE)


def test_a_name_without_an_address() -> None:
    def resolve(host: str, port: int) -> list[str]:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    with pytest.raises(FetchFailed) as failed:
        fetch("http://nowhere.test/", PUBLIC, resolve=resolve)
    assert (failed.value.message, failed.value.param) == ("nowhere.test has no address.", "url")


def test_a_look_up_that_never_ends_is_given_up() -> None:
    ended = threading.Event()

    def resolve(host: str, port: int) -> list[str]:
        ended.wait()
        return [EXAMPLE]

    try:
        with pytest.raises(FetchFailed, match=r"slow\.test could not be fetched: it took longer than 1 s"):
            fetch("http://slow.test/", PRIVATE, resolve=resolve)
    finally:
        ended.set()


@pytest.mark.parametrize("times", [0, 5])
def test_as_many_redirects_are_followed_as_the_settings_say(site: str, times: int) -> None:
    limited = Settings(fetch_allow_private=True, fetch_redirects=times)
    assert fetch(f"{site}/times/{times}" if times else f"{site}/good", limited) == b"x" * 500
    with pytest.raises(FetchFailed, match=f"redirects more than {times} times"):
        fetch(f"{site}/times/{times + 1}", limited)


@pytest.mark.parametrize(
    "target",
    [
        "http://169.254.169.254/",
        "http://[fd00:ec2::254]/x",
        "http://[::ffff:169.254.169.254]/",
        "//169.254.169.254/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:6379/_INFO",
        "s3://pictures/a.png",
        "http://user:secret@127.0.0.1/",
        "http://127.0.0.1/" + "a" * 9_000,
    ],
)
def test_redirects_are_checked_by_the_rule_of_the_first_url(site: str, target: str) -> None:
    sites.Site.location = target.encode()
    with pytest.raises(FetchRefused):
        fetch(f"{site}/anywhere", PRIVATE)


def test_the_body_of_a_redirect_is_not_read(site: str) -> None:
    assert fetch(f"{site}/endless", PRIVATE) == b"x" * 500


@pytest.fixture
def internet(site: str, monkeypatch: pytest.MonkeyPatch) -> tuple[int, list[str]]:
    """The site's port, and to where connections go: EXAMPLE is the site, and nothing else is anywhere."""
    called: list[str] = []
    connect = httpcore.SyncBackend.connect_tcp

    def connect_tcp(self: httpcore.SyncBackend, host: str, *arguments: Any) -> httpcore.NetworkStream:
        called.append(host)
        if host != EXAMPLE:
            raise httpcore.ConnectError(f"nobody is at {host}")
        return connect(self, "127.0.0.1", *arguments)

    monkeypatch.setattr(httpcore.SyncBackend, "connect_tcp", connect_tcp)
    return int(site.rpartition(":")[2]), called


def test_a_redirect_from_a_public_host_to_a_private_one(internet: tuple[int, list[str]]) -> None:
    port, called = internet

    def resolve(host: str, port: int) -> list[str]:
        return [EXAMPLE if host == "public.test" else host]

    assert fetch(f"http://public.test:{port}/good", PUBLIC, resolve=resolve) == b"x" * 500
    assert fetch(f"http://public.test:{port}/to//good", PUBLIC, resolve=resolve) == b"x" * 500
    with pytest.raises(FetchRefused, match=r"127\.0\.0\.1 is an internal address"):
        fetch(f"http://public.test:{port}/to/http://127.0.0.1:{port}/good", PUBLIC, resolve=resolve)
    assert set(called) == {EXAMPLE}


def test_a_name_is_looked_up_for_each_connection_and_the_checked_address_is_called(
    internet: tuple[int, list[str]],
) -> None:
    """DNS rebinding: the name answers a public address first and a private one ever after."""
    port, called = internet
    asked: list[str] = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append(host)
        return [EXAMPLE if len(asked) == 1 else "127.0.0.1"]

    with pytest.raises(FetchRefused):
        fetch(f"http://rebinding.test:{port}/once", PUBLIC, resolve=resolve)
    assert (asked, called) == (["rebinding.test"] * 2, [EXAMPLE])


def test_one_private_address_among_public_ones_is_enough_to_refuse(internet: tuple[int, list[str]]) -> None:
    port, called = internet
    with pytest.raises(FetchRefused):
        fetch(f"http://mixed.test:{port}/good", PUBLIC, resolve=lambda host, port: [EXAMPLE, "10.0.0.1"])
    assert called == []


def test_the_next_address_is_called_where_one_does_not_answer(internet: tuple[int, list[str]]) -> None:
    port, called = internet
    url = f"http://many.test:{port}/good"
    assert fetch(url, PUBLIC, resolve=lambda host, port: ["8.8.8.8", EXAMPLE]) == b"x" * 500
    assert called == ["8.8.8.8", EXAMPLE]


def test_what_is_asked(site: str) -> None:
    said = fetch(f"{site}/head", PRIVATE).decode().splitlines()
    assert sorted(line for line in said if not line.startswith("Host: ")) == [
        "Accept-Encoding: identity",
        "Accept: image/*, */*;q=0.1",
        "Connection: close",
        "User-Agent: pixelserve",
    ]
    assert f"Host: {site.removeprefix('http://')}" in said


def test_no_cookie_is_sent_back(site: str) -> None:
    assert b"session=1" not in fetch(f"{site}/cookie", PRIVATE)


@pytest.mark.parametrize("path", ["/gzip", "/deflate", "/raw-deflate", "/twice", "/identity"])
def test_what_comes_compressed_all_the_same_is_unpacked(site: str, path: str) -> None:
    assert fetch(site + path, PRIVATE) == b"x" * 500


def test_what_unpacks_to_too_much(site: str) -> None:
    with pytest.raises(FetchTooLarge):
        fetch(f"{site}/gzip-bomb", PRIVATE)


@pytest.mark.parametrize("path", ["/ü 你.png", "/%C3%BC 你.png", "/ü%20%E4%BD%A0.png"])
@pytest.mark.parametrize("around", ["", " ", "\n"])
def test_urls_with_blanks_and_letters_beyond_ascii(site: str, path: str, around: str) -> None:
    assert fetch(f"{around}{site}{path}{around}", PRIVATE) == b"/%C3%BC%20%E4%BD%A0.png"


@pytest.mark.parametrize("target", ["/ü 你.png", "/%C3%BC%20%E4%BD%A0.png", "/ü%20你.png"])
def test_redirects_to_such(site: str, target: str) -> None:
    sites.Site.location = target.encode()
    assert fetch(f"{site}/anywhere", PRIVATE) == b"/%C3%BC%20%E4%BD%A0.png"
    sites.Site.location = f"{site}{target}".encode()
    assert fetch(f"{site}/anywhere", PRIVATE) == b"/%C3%BC%20%E4%BD%A0.png"


def test_proxies_and_passwords_of_the_environment_are_not_used(
    site: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login user password secret\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
    with sites.accepting(lambda connection: asked.append(connection.recv(100))) as port:
        asked: list[bytes] = []
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        assert b"Authorization" not in fetch(f"{site}/head", PRIVATE)
        assert asked == []


def test_tls(secure_site: Any) -> None:
    def get(name: str, **options: Any) -> bytes:
        url = f"https://{name}:{secure_site.port}/head"
        return fetch(url, PRIVATE, resolve=lambda host, port: ["127.0.0.1"], **options)

    secure_site.seen.clear()
    assert f"Host: {sites.NAME}:{secure_site.port}\n".encode() in get(sites.NAME, ssl_context=secure_site.trust)
    assert secure_site.seen == [sites.NAME]
    for name, options in ((sites.NAME, {}), ("other.test", {"ssl_context": secure_site.trust})):
        with pytest.raises(FetchFailed, match="could not be fetched: the connection failed"):
            get(name, **options)


@pytest.mark.parametrize("talk", [sites.be_silent, sites.drip_handshake])
def test_a_tls_handshake_that_never_ends_is_given_up(talk: Any) -> None:
    with sites.accepting(talk) as port, pytest.raises(FetchFailed, match="longer than 1 s"):
        fetch(f"https://127.0.0.1:{port}/a.png", PRIVATE)


def test_no_thread_is_kept_for_a_fetch(site: str) -> None:
    """Many slow fetches at once run on their callers' threads, and on those that look names up and connect."""

    def call() -> None:
        with pytest.raises(FetchFailed):
            fetch(f"{site}/slow", PRIVATE)

    callers = {threading.Thread(target=call) for _ in range(32)}
    before = set(threading.enumerate())
    for caller in callers:
        caller.start()
    while any(caller.is_alive() for caller in callers):
        started = set(threading.enumerate()) - before - callers
        assert all(thread.name.startswith("network") for thread in started if not is_of_site(thread))
    left = [thread for thread in threading.enumerate() if thread.name.startswith("network")]
    assert 0 < len(left) <= 2 * 256


def is_of_site(thread: threading.Thread) -> bool:
    """Whether a thread answers a connection of the test's own server."""
    return "process_request_thread" in thread.name


def test_the_hook_of_a_thread_that_waits(site: str) -> None:
    """A server's decode thread gives its place away while it fetches, and has it back afterwards whatever happens."""
    steps: list[str] = []

    @contextlib.contextmanager
    def wait() -> Iterator[Callable[[], None]]:
        steps.append("waits")
        try:
            yield lambda: None
        finally:
            steps.append("goes on")

    token = WAITING.set(wait)
    try:
        fetch(f"{site}/once", PRIVATE)
        assert steps == ["waits", "goes on"]
        for url in (f"{site}/missing", "s3://somebody-elses-bucket/key"):
            with pytest.raises(PixelserveError):
                fetch(url, PRIVATE)
        assert steps == ["waits", "goes on"] * 3
    finally:
        WAITING.reset(token)


@pytest.mark.parametrize("host", ["", "http://hole.test"])
def test_a_fetch_that_nobody_wants_any_more_ends_soon(site: str, host: str) -> None:
    """Of a site that drips, and of a name that is looked up for ever."""

    def refuse() -> None:
        raise ClientGone("The client closed the connection.")

    def look_up_for_ever(name: str, port: int) -> list[str]:
        if name == "hole.test":
            ended.wait()
        return ["127.0.0.1"]

    ended = threading.Event()
    settings = dataclasses.replace(PRIVATE, fetch_timeout=600)
    token = WAITING.set(lambda: contextlib.nullcontext(refuse))
    try:
        with pytest.raises(ClientGone):
            fetch(f"{host or site}/slow", settings, resolve=look_up_for_ever)
    finally:
        ended.set()
        WAITING.reset(token)


def test_errors_do_not_repeat_secrets_of_the_url(site: str) -> None:
    with pytest.raises(PixelserveError) as failed:
        fetch(f"{site}/missing?X-Amz-Signature=SECRET", PRIVATE)
    assert "SECRET" not in failed.value.message


URLS = st.one_of(
    st.text(max_size=50),
    st.text(max_size=30).map("http://".__add__),
    st.tuples(
        st.sampled_from(["//", "///", "http:", "https://", "http://[", "/", "?"]),
        st.text("[]:@%./\\#?1aü。", max_size=20),
    ).map("".join),
)


@given(URLS)
@settings(deadline=None, max_examples=300)
def test_any_text_is_an_error_of_ours(text: str) -> None:
    with pytest.raises(PixelserveError):
        fetch(text, PUBLIC, resolve=lambda host, port: [])


@given(URLS.map(lambda text: text.encode("utf-8", "replace").translate(None, b"\r\n\0")))
@settings(deadline=None, max_examples=150)
def test_a_redirect_to_anywhere_is_an_error_of_ours(site: str, location: bytes) -> None:
    sites.Site.location = location
    with pytest.raises(PixelserveError):
        fetch(f"{site}/anywhere", PRIVATE, resolve=lambda host, port: [host] if host == "127.0.0.1" else [])


def test_the_old_name_warns() -> None:
    with pytest.warns(DeprecationWarning, match=r"pixelserve\.imaging\.fetch is pixelserve\.net\.fetch now"):
        assert pixelserve.imaging.fetch is fetch
    with pytest.raises(AttributeError):
        _ = pixelserve.imaging.get


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
