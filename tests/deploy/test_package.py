"""`pixelserve package`: SageMaker's layout, whole or not at all, and nothing from outside the folders given."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

import pytest

from pixelserve.errors import BadRequest
from pixelserve_deploy import cli
from pixelserve_deploy.artifact import lay_out, list_files, write_archive, write_folder

FILES = {"code/inference.py": "# handler\n", "code/lib/help.py": "", "model.pt": "weights", "labels/names.txt": "a"}
"""A model in SageMaker's layout."""


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def handler(tmp_path: Path) -> Path:
    return write(tmp_path / "handler", {"inference.py": "# handler\n", "lib/help.py": ""})


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write(tmp_path / "weights", {"model.pt": "weights", "labels/names.txt": "a"})


def content(archive: Path) -> dict[str, str]:
    with tarfile.open(archive, "r:gz") as members:
        return {member.name: members.extractfile(member).read().decode() for member in members}  # type: ignore[union-attr]


def test_a_handler_and_its_weights_become_an_archive(
    handler: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (handler / ".env").write_text("SECRET=1")
    write(handler, {"__pycache__/inference.pyc": ""})
    archive = tmp_path / "model.tar.gz"
    assert cli.main(["package", str(handler), "--model-dir", str(weights), "-o", str(archive)]) == 0
    assert content(archive) == FILES
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    said = capsys.readouterr().out
    assert f"4 files, 18 bytes, {archive.stat().st_size:,} compressed; SHA-256 {digest}" in said
    assert "To upload it: the same with --to s3://BUCKET/PREFIX/model.tar.gz" in said
    assert [line.split()[:2] for line in said.splitlines() if line.startswith("model.pt")] == [["model.pt", "7"]]


def test_the_same_files_make_the_same_archive_wherever_they_lie(handler: Path, weights: Path, tmp_path: Path) -> None:
    laid_out = write(tmp_path / "model", FILES)
    first, second = tmp_path / "first.tar.gz", tmp_path / "second.tar.gz"
    assert cli.main(["package", str(handler), "--model-dir", str(weights), "-o", str(first)]) == 0
    assert cli.main(["package", str(laid_out), "-o", str(second)]) == 0
    assert first.read_bytes() == second.read_bytes()


def test_a_folder_is_written_uncompressed(
    handler: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "model"
    words = ["package", str(handler), "--model-dir", str(weights), "-o", str(target)]
    assert cli.main([*words, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {file["name"]: file["bytes"] for file in told["files"]} == {name: len(text) for name, text in FILES.items()}
    assert told["files"][-1]["sha256"] == hashlib.sha256(b"weights").hexdigest()
    assert {name: path.read_text() for name, path in list_files(target).items()} == FILES
    assert cli.main(words) == 1
    assert f"{target} exists already" in capsys.readouterr().err


def test_weights_beside_the_handler_go_to_the_root(tmp_path: Path) -> None:
    mixed = write(tmp_path / "mixed", {"inference.py": "", "requirements.txt": "", "model.pt": "", "sub/a.py": ""})
    assert sorted(lay_out(mixed, mixed)) == ["code/inference.py", "code/requirements.txt", "code/sub/a.py", "model.pt"]


def test_links_stay_inside(handler: Path, tmp_path: Path) -> None:
    (handler / "here.py").symlink_to("inference.py")
    (handler / "folder").symlink_to("lib")
    assert sorted(list_files(handler)) == ["folder/help.py", "here.py", "inference.py", "lib/help.py"]
    write_archive(list_files(handler), tmp_path / "model.tar.gz")
    assert content(tmp_path / "model.tar.gz")["here.py"] == "# handler\n"
    (handler / "round").symlink_to(".")
    with pytest.raises(BadRequest, match="round is a link to a folder that it lies in"):
        list_files(handler)
    (handler / "round").unlink()
    (handler / "keys").symlink_to(tmp_path / "weights")
    with pytest.raises(BadRequest, match="keys is a link out of"):
        list_files(handler)


def test_a_second_code_folder_is_refused(handler: Path, tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match=r"has a code/ too, with code/inference\.py"):
        lay_out(handler, write(tmp_path / "other", FILES))


@pytest.mark.parametrize("writing", [write_archive, write_folder])
def test_what_fails_on_the_way_leaves_nothing(writing: object, handler: Path, tmp_path: Path) -> None:
    target = tmp_path / "out" / "model.tar.gz"
    target.parent.mkdir()
    files = {"inference.py": handler / "inference.py", "gone.pt": tmp_path / "gone.pt"}
    with pytest.raises(BadRequest, match=r"cannot be written: No such file.*gone\.pt"):
        writing(files, target)  # type: ignore[operator]
    assert list(target.parent.iterdir()) == []


def test_an_archive_that_is_there_stays_when_its_successor_fails(handler: Path, tmp_path: Path) -> None:
    target = tmp_path / "model.tar.gz"
    target.write_bytes(b"the first")
    with pytest.raises(BadRequest):
        write_archive({"gone.pt": tmp_path / "gone.pt"}, target)
    assert target.read_bytes() == b"the first"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere"),
        (["handler", "--model-dir", "nowhere"], "There is no folder nowhere"),
        (["handler", "-o", "handler/model.tar.gz"], "which is to be packed. Name an --output elsewhere"),
        (["handler", "-o", "nowhere/model.tar.gz"], "cannot be written"),
    ],
)
def test_what_cannot_be_packed_is_told(
    words: list[str],
    message: str,
    handler: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(handler.parent)
    assert cli.main(["package", *words]) == 1
    assert message in capsys.readouterr().err
