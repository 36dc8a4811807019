"""Writing a handler to start from."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from pathlib import Path

from pixelserve.errors import BadRequest


def write_handler(folder: Path, endpoint: str) -> Iterator[Path]:
    """Makes the folder, and yields each file once it is written. Raises BadRequest where there is something already."""
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        raise BadRequest(f"{folder} exists already; nothing was written. Choose another name.") from None
    except OSError as error:
        raise BadRequest(f"Cannot make {folder}: {error.strerror}.") from None
    for template in resources.files("pixelserve_deploy.handlers").joinpath("templates").iterdir():
        text = template.read_text(encoding="utf-8")
        path = folder / template.name.removesuffix(".tmpl")
        path.write_text(text.replace("@FOLDER@", folder.name).replace("@ENDPOINT@", endpoint), encoding="utf-8")
        yield path
