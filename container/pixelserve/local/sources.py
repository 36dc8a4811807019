"""What can be served: a feature, the folder of a handler, SageMaker's own layout of one, or a model.tar.gz of that."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from pixelserve import features
from pixelserve.errors import BadRequest, NotFound

_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}")
_ARCHIVE_ENDINGS = (".tar.gz", ".tgz", ".tar")
_PROGRAM = "inference.py"


@dataclass(frozen=True)
class Source:
    """What to serve under `name`: `program` in `folder`, and its weights in `model_dir` when it takes any."""

    name: str
    folder: Path
    model_dir: Path | None = None
    program: str = _PROGRAM

    @classmethod
    def parse(cls, text: str) -> Source:
        """A feature's name, a handler's folder, or NAME= and one of these.

        The folder may have the layout of SageMaker's model artifacts: code/inference.py, and the weights beside code/.
        SAGEMAKER_PROGRAM names another file than inference.py. Raises NotFound or BadRequest saying what would do.
        """
        name, equals, rest = text.partition("=")
        if equals:
            check_name(name)
        place = rest if equals else text
        path = Path(place).expanduser().resolve()
        source = _find_handler(path, name if equals else _name_of(path))
        if source is not None:
            check_name(source.name)
            return source
        known = features.find(place)
        if known is not None:
            return cls(name if equals else known.endpoint, features.handler_folder(known))
        if equals or "/" in place or path.is_dir():
            raise NotFound(_explain_absence(place, path))
        raise NotFound(
            f"There is no feature {place}. Features: {', '.join(feature.name for feature in features.FEATURES)}. "
            "A folder with an inference.py can be served too."
        )

    def with_weights(self, model_dir: Path) -> Source:
        """The same with weights from elsewhere. Raises NotFound when there is no such folder."""
        path = model_dir.expanduser().resolve()
        if not path.is_dir():
            raise NotFound(f"There is no folder {path}.")
        return replace(self, model_dir=path)


@contextlib.contextmanager
def open_source(text: str) -> Iterator[Source]:
    """What `Source.parse` takes, or the path of a model.tar.gz, which lies unpacked for as long as this is entered.

    Raises what `Source.parse` and `unpack` raise.
    """
    path = find_archive(text)
    if path is None:
        yield Source.parse(text)
        return
    name, equals, _ = text.partition("=")
    endpoint = check_name(name if equals else _name_of(path))
    with tempfile.TemporaryDirectory(prefix="pixelserve-model-") as scratch:
        folder = Path(scratch).resolve()
        unpack(path, folder)
        source = _find_handler(folder, endpoint)
        if source is None:
            raise NotFound(f"There is neither code/inference.py nor inference.py in {path}. Put the handler there.")
        yield replace(source, model_dir=folder)


def find_archive(text: str) -> Path | None:
    """The file that `open_source` would unpack; None where it takes a folder or a feature. Raises BadRequest."""
    name, equals, rest = text.partition("=")
    place = rest if equals else name
    path = Path(place).expanduser().resolve()
    with _explained(path):
        return path if path.is_file() and features.find(place) is None else None


def unpack(archive: Path, folder: Path) -> None:
    """The files of a tar archive, compressed or not, below `folder`.

    Raises BadRequest for a member that is neither file nor folder, for one that would lie elsewhere, and for what is no
    archive.
    """
    try:
        with tarfile.open(archive) as members:
            for member in members:
                path = PurePosixPath(member.name)
                if path.is_absolute() or ".." in path.parts:
                    raise BadRequest(f"{member.name!r} in {archive} leads out of the archive. Pack it from its folder.")
                if member.isdir():
                    (folder / path).mkdir(parents=True, exist_ok=True)
                elif member.isreg():
                    _write_member(members, member, folder / path)
                else:
                    raise BadRequest(f"{member.name!r} in {archive} is a link or a device. Pack files and folders.")
    except (tarfile.TarError, zlib.error, EOFError, ValueError) as error:
        reason = str(error).partition(":\n")[0]  # what each format says follows
        raise BadRequest(f"{archive} is neither a folder nor a model.tar.gz that can be read: {reason}.") from None
    except OSError as error:
        raise BadRequest(f"Cannot unpack {archive}: {error.strerror or error}.") from None


def _write_member(members: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> None:
    content = members.extractfile(member)
    assert content is not None  # it is a file
    path.parent.mkdir(parents=True, exist_ok=True)
    with content, path.open("wb") as file:
        shutil.copyfileobj(content, file)
    path.chmod(0o644 | member.mode & 0o111)


def check_name(name: str) -> str:
    """The name. Raises BadRequest when SageMaker would not take it for an endpoint."""
    if not _NAME.fullmatch(name):
        raise BadRequest(
            f"{name!r} cannot be an endpoint's name: SageMaker takes up to 63 letters, digits and hyphens. "
            "Choose another; a folder can be served under one of your own with NAME=FOLDER."
        )
    return name


def _name_of(path: Path) -> str:
    """An endpoint's name made of a file's: what SageMaker does not take becomes a hyphen."""
    stem = next((path.name.removesuffix(end) for end in _ARCHIVE_ENDINGS if path.name.endswith(end)), path.name)
    return re.sub(r"[^a-zA-Z0-9]+", "-", stem).strip("-")[:63].rstrip("-")


def _find_handler(path: Path, name: str) -> Source | None:
    """The handler in a folder, or in its code/ as SageMaker packs it, where a single file may have any name.

    The folder has the weights; for a handler at its root an SM_MODEL_DIR of this process comes first.
    """
    programs = [program for program in (os.environ.get("SAGEMAKER_PROGRAM"), _PROGRAM) if program]
    with _explained(path):
        for folder, model_dir in ((path / "code", path), (path, None if os.environ.get("SM_MODEL_DIR") else path)):
            for program in programs:
                if (folder / program).is_file():
                    return Source(name, folder, model_dir, program)
        others = _python_files(path / "code")
    return Source(name, path / "code", path, others[0]) if len(others) == 1 else None


def _python_files(folder: Path) -> list[str]:
    """Names of the modules that could be a handler: neither tests nor what makes the folder a package."""
    names = sorted(file.name for file in folder.glob("*.py"))
    return [name for name in names if not name.startswith(("__", "test_")) and name not in ("setup.py", "conftest.py")]


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Raises BadRequest for a path that the system does not let this process look at."""
    try:
        yield
    except OSError as error:
        raise BadRequest(f"Cannot read {path}: {error.strerror}.") from None


def _explain_absence(text: str, path: Path) -> str:
    if "://" in text:
        return f"{text} is not on this machine. Copy it here, and give the path."
    others = _python_files(path / "code")
    if others:
        program = os.environ.get("SAGEMAKER_PROGRAM")
        named = f"no {program}, which SAGEMAKER_PROGRAM names," if program else "no inference.py"
        return f"There is {named} in {path / 'code'}. Set SAGEMAKER_PROGRAM to one of {', '.join(others)}."
    return f"There is no inference.py in {path}. `pixelserve new NAME` writes a handler to start from."
