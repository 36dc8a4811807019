"""SageMaker's own layout and its archives, as the commands find them; and what an archive may not hold."""

import io
import tarfile

import httpx
import local_handlers as handlers
import pytest

from pixelserve.errors import BadRequest, NotFound
from pixelserve.local import Source, open_source, started, wait_until_ready

READS_WEIGHTS = """
from pathlib import Path

def model_fn(model_dir):
    return Path(model_dir, "weights.txt").read_text()

def predict_fn(data, model):
    return model
"""


@pytest.fixture
def layout(tmp_path):
    """A folder as SageMaker packs it: code/inference.py, and the weights beside code/."""
    handlers.write(tmp_path / "my_model.v2" / "code", READS_WEIGHTS)
    (tmp_path / "my_model.v2" / "weights.txt").write_text("learnt")
    return tmp_path / "my_model.v2"


def pack(archive, folder):
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(folder, ".")
    return archive


def pack_member(archive, name, **fields):
    """An archive with one member whose header says whatever it is told."""
    with tarfile.open(archive, "w:gz") as tar:
        member = tarfile.TarInfo(name)
        for field, value in fields.items():
            setattr(member, field, value)
        member.size = 0 if "type" in fields else 4
        tar.addfile(member, io.BytesIO(b"evil"))
    return archive


def answer_of(source):
    with started([source]) as endpoints:
        wait_until_ready(endpoints)
        return httpx.post(f"{endpoints[0].url}/invocations", json=1, trust_env=False).json()


def test_sagemakers_layout_has_its_handler_in_code_and_its_weights_beside_it(layout):
    source = Source.parse(str(layout))
    assert source == Source("my-model-v2", layout / "code", layout)
    assert answer_of(source) == "learnt"


def test_an_archive_is_unpacked_and_removed(layout, tmp_path):
    archive = pack(tmp_path / "model.tar.gz", layout)
    with open_source(str(archive)) as source:
        assert source.name == "model"
        assert answer_of(source) == "learnt"
    assert not source.folder.exists()
    assert not source.model_dir.exists()
    with open_source(f"other={archive}") as source:
        assert source.name == "other"


def test_weights_may_lie_beside_a_handler_at_the_root(tmp_path, monkeypatch):
    folder = handlers.write(tmp_path / "flat", READS_WEIGHTS)
    monkeypatch.delenv("SM_MODEL_DIR", raising=False)
    assert Source.parse(str(folder)).model_dir == folder
    monkeypatch.setenv("SM_MODEL_DIR", str(tmp_path))
    assert Source.parse(str(folder)).model_dir is None
    with open_source(str(pack(tmp_path / "flat.tgz", folder))) as source:
        assert source.model_dir == source.folder


def test_code_comes_before_the_root_as_on_sagemaker(layout):
    handlers.write(layout, handlers.BROKEN)
    assert Source.parse(str(layout)).folder == layout / "code"


def test_another_program_is_found_by_its_variable_and_else_named(layout, monkeypatch):
    (layout / "code" / "inference.py").rename(layout / "code" / "serve.py")
    with pytest.raises(NotFound, match=r"There is no inference\.py in .*/code\. Set SAGEMAKER_PROGRAM to .* serve\.py"):
        Source.parse(str(layout))
    monkeypatch.setenv("SAGEMAKER_PROGRAM", "serve.py")
    source = Source.parse(str(layout))
    assert source.program == "serve.py"
    assert answer_of(source) == "learnt"


def test_a_feature_can_have_another_name():
    assert Source.parse("mine=image-similarity").folder == Source.parse("image_similarity").folder
    assert Source.parse("mine=image_similarity").name == "mine"


def test_other_weights_can_be_given(layout, tmp_path):
    (tmp_path / "weights.txt").write_text("others")
    assert answer_of(Source.parse(str(layout)).with_weights(tmp_path)) == "others"
    with pytest.raises(NotFound, match="There is no folder /nowhere"):
        Source.parse(str(layout)).with_weights(tmp_path.__class__("/nowhere"))


@pytest.mark.parametrize(
    ("name", "fields", "message"),
    [
        ("../evil.py", {}, "leads out of the archive"),
        ("code/../../evil.py", {}, "leads out of the archive"),
        ("/evil.py", {}, "leads out of the archive"),
        ("code", {"type": tarfile.SYMTYPE, "linkname": "/etc"}, "is a link or a device"),
        ("code/inference.py", {"type": tarfile.LNKTYPE, "linkname": "/etc/passwd"}, "is a link or a device"),
        ("null", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 3}, "is a link or a device"),
        ("pipe", {"type": tarfile.FIFOTYPE}, "is a link or a device"),
        ("weights.bin", {}, "neither code/inference.py nor inference.py"),
    ],
)
def test_what_an_archive_may_not_hold_is_refused(tmp_path, name, fields, message):
    archive = pack_member(tmp_path / "model.tar.gz", name, **fields)
    with pytest.raises((BadRequest, NotFound), match=message), open_source(str(archive)):
        pass
    assert not list(tmp_path.rglob("evil.py"))


@pytest.mark.parametrize("content", [b"", b"no archive at all", b"\x1f\x8b\x08\x00broken"])
def test_what_is_no_archive_is_told_in_one_line(tmp_path, content):
    path = tmp_path / "model.tar.gz"
    path.write_bytes(content)
    with pytest.raises(BadRequest, match=r"neither a folder nor a model\.tar\.gz") as failure, open_source(str(path)):
        pass
    assert "\n" not in failure.value.message


def test_an_archive_that_is_cut_off_is_told(layout, tmp_path):
    (layout / "large").write_bytes(bytes(range(256)) * 4_000)
    archive = pack(tmp_path / "model.tar.gz", layout)
    archive.write_bytes(archive.read_bytes()[:-40])
    with pytest.raises(BadRequest, match="neither a folder nor"), open_source(str(archive)):
        pass


def test_what_is_not_here_is_told():
    with pytest.raises(NotFound, match=r"s3://bucket/model\.tar\.gz is not on this machine\. Copy it here"):
        Source.parse("s3://bucket/model.tar.gz")
