"""Results: bytes in a folder or S3, and signed links that expire."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from moto import mock_aws

from pixelserve.errors import BadRequest, BodyTooLarge, NotFound
from pixelserve.storage import place
from pixelserve_gateway.results import Results

NOW = 1_800_000_000.0


@pytest.fixture(params=["folder", "s3"])
def results(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Results]:
    if request.param == "folder":
        yield Results(place(str(tmp_path / "results")), b"k" * 32, most_bytes=100)
        return
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    with mock_aws():
        boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="bucket")
        yield Results(place("s3://bucket/results"), b"k" * 32, most_bytes=100)


def test_what_was_written_is_read_until_it_is_removed(results: Results) -> None:
    results.write("jobs/1/1", b"\x89PNG...", "image/png")
    results.write("jobs/2/1", b"x" * 101, "image/png")
    assert results.read("jobs/1/1") == (b"\x89PNG...", "image/png")
    assert results.url("jobs/1/1").endswith("/results/jobs/1/1")
    assert list(results.names("jobs/1/")) == ["jobs/1/1"]
    with pytest.raises(BodyTooLarge):
        results.read("jobs/2/1")
    results.remove("jobs/1/1")
    results.remove("jobs/1/1")
    with pytest.raises(NotFound, match="deleted, or has expired") as raised:
        results.read("jobs/1/1")
    assert "results" not in raised.value.message
    assert list(results.names("")) == ["jobs/2/1"]


def test_s3_gives_an_object_itself(results: Results) -> None:
    url = results.direct_url("jobs/1/1", 60)
    assert (url is not None) == results.url("x").startswith("s3:")
    if url is not None:
        parts = urlsplit(url)
        assert parts.scheme == "https"
        assert parts.path.endswith("/results/jobs/1/1")
        assert "Expires" in parts.query


def test_s3_takes_an_upload_itself_up_to_a_size(results: Results) -> None:
    form = results.upload_form("uploads/a/1", 34_000_000, 900)
    assert (form is not None) == results.url("x").startswith("s3:")
    if form is not None:
        url, fields = form
        policy = json.loads(base64.b64decode(fields["policy"]))
        assert "bucket" in url
        assert fields["key"] == "results/uploads/a/1"
        assert ["content-length-range", 1, 34_000_000] in policy["conditions"]
        assert {"key": fields["key"]} in policy["conditions"]
        assert {"bucket": "bucket"} in policy["conditions"]


def test_nothing_outside_the_folder_is_removed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "link").symlink_to(outside)
    (folder / "file").symlink_to(outside / "kept")
    results = Results(place(str(folder)), b"k", most_bytes=1)
    for name in ("../outside/kept", "link/kept", "/etc/hosts", "a\0b"):
        with pytest.raises(BadRequest):
            results.remove(name)
    results.remove("file")  # the link itself
    assert (outside / "kept").exists()
    assert not (folder / "file").is_symlink()


@pytest.mark.parametrize("name", ["jobs/1/1", "uploads/图 片?x=1&y#z.png"])
def test_a_link_opens_its_object_until_it_expires(results: Results, name: str) -> None:
    link = urlsplit(results.link(name, NOW + 60))
    assert results.open_link(link.path, link.query, NOW) == name
    assert results.open_link(link.path, link.query, NOW + 59) == name
    with pytest.raises(NotFound, match="expired"):
        results.open_link(link.path, link.query, NOW + 60)


def test_a_link_opens_nothing_else(results: Results) -> None:
    link = urlsplit(results.link("jobs/1/1", NOW + 60))
    other = Results(place("/nowhere"), b"another secret", most_bytes=1)
    later = link.query.replace(str(int(NOW + 60)), str(int(NOW + 9_999)))
    for path, query in (
        ("/results/jobs/1/2", link.query),
        ("/results/jobs/1/1/../2", link.query),
        (link.path, later),
        (link.path, link.query[:-1]),
        (link.path, link.query + "0"),
        (link.path, link.query.partition("&")[0]),
        (link.path, link.query.partition("&")[0] + "&signature=%F0%9F%98%80"),
        (link.path, urlsplit(other.link("jobs/1/1", NOW + 60)).query),
    ):
        with pytest.raises(NotFound, match="signature"):
            results.open_link(path, query, NOW)
    for path, query in (
        (link.path, ""),
        (link.path, "expires=x"),
        (link.path, "expires=" + "9" * 13),
        ("/", link.query),
    ):
        with pytest.raises(BadRequest, match="not complete"):
            results.open_link(path, query, NOW)
