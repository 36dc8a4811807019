"""Forms of files and fields, as browsers and curl send them."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from pixelserve.errors import BadRequest
from pixelserve.schema import parse_text

FORM = "multipart/form-data"
_MOST_FILES = 2
_CHARSET = b"utf-8"


async def read_form(headers: Headers, body: bytes) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a form by their fields' names, and its other fields, parsed as text. Raises BadRequest.

    A browser sends what its user left empty as a field without text, or a file without a name: these count as absent.
    """
    _, parameters = parse_options_header(headers["content-type"])
    if parameters.get(b"charset", _CHARSET).lower() != _CHARSET:
        raise BadRequest("The form has a charset of its own. Send it in UTF-8, and leave charset out.")

    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(headers, stream(), max_files=_MOST_FILES, max_part_size=len(body) + 1)
    parser.spool_max_size = len(body) + 1  # nothing goes to the disk, which a container need not have
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError) as error:
        reason = getattr(error, "message", "it has no boundary").rstrip(".")
        raise BadRequest(f"The form cannot be read: {reason}. Let your HTTP client write it.") from None
    try:
        files = {
            name: await value.read()
            for name, value in form.multi_items()
            if isinstance(value, UploadFile) and value.filename
        }
        fields = {name: parse_text(value) for name, value in form.multi_items() if isinstance(value, str) and value}
    finally:
        await form.close()
    return files, fields
