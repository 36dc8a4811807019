"""Bytes that outlive a request, inputs and results of jobs, and signed links to them that expire."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import io
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from urllib.parse import parse_qs, quote, unquote, urlencode

from pixelserve.errors import BadRequest, NotFound
from pixelserve.media_types import content_type_of
from pixelserve.storage import Place

PATH = "/results/"
"""Links are below it."""
PIECE_BYTES = 640_000
"""What a reader has to take within the seconds that the settings give it, as they are by default."""


@dataclass(frozen=True)
class StoredObject:
    """An object by its name, and how many bytes it has."""

    name: str
    size: int


class Results:
    """Objects in a folder or below an S3 prefix, by names with slashes. What touches the place blocks.

    A link holds an HMAC-SHA256 of path and expiry under `secret`: whoever has it may read this one object until then.
    """

    def __init__(self, place: Place, secret: bytes, *, most_bytes: int) -> None:
        self._place = place
        self._secret = secret
        self._most_bytes = most_bytes

    def write(self, name: str, content: bytes, media_type: str) -> None:
        """Stores an object: all of it, or nothing. Raises Unavailable."""
        self._place.write(name, io.BytesIO(content), media_type)

    def read(self, name: str) -> tuple[bytes, str]:
        """The object and its media type, as stored or told by its first bytes. Raises NotFound, BodyTooLarge."""
        with _explained():
            content, media_type = self._place.read(name, self._most_bytes)
        return content, media_type or content_type_of(content)

    def find(self, name: str) -> StoredObject:
        """The object, of which nothing is read. Raises NotFound."""
        with _explained(), self._place.open(name) as (_, size, _):
            return StoredObject(name, size)

    def read_found(self, found: StoredObject) -> bytes:
        """What `find` found. Raises NotFound, BodyTooLarge where the object has become larger since."""
        with _explained():
            return self._place.read(found.name, found.size)[0]

    @contextlib.contextmanager
    def open(self, name: str) -> Iterator[tuple[Iterator[bytes], int, str]]:
        """The object in pieces, its size in bytes, and its media type as `read` has it. Raises NotFound."""
        with _explained(), self._place.open(name) as (stream, size, media_type):
            first = stream.read(PIECE_BYTES)
            rest = iter(partial(stream.read, PIECE_BYTES), b"")
            yield itertools.chain([first], rest), size, media_type or content_type_of(first)

    def upload_form(self, name: str, most_bytes: int, seconds: int) -> tuple[str, dict[str, str]] | None:
        """`Place.upload_form`."""
        return self._place.upload_form(name, most_bytes, seconds)

    def url(self, name: str) -> str:
        """Where the object lies: an s3:// or file:// URL."""
        return self._place.url(name)

    def remove(self, name: str) -> None:
        """Removes an object; it need not be there."""
        self._place.remove(name)

    def names(self, prefix: str) -> list[str]:
        """All objects whose names begin so."""
        return self._place.names(prefix)

    def link(self, name: str, expires: float) -> str:
        """A path with a query, to be put behind a host, that opens the object until `expires`."""
        path = PATH + quote(name)
        seconds = int(expires)
        return f"{path}?{urlencode({'expires': seconds, 'signature': self._sign(path, seconds)})}"

    def direct_url(self, name: str, seconds: int) -> str | None:
        """A URL at which S3 itself gives the object for so long, for what Lambda cannot answer; None for a folder."""
        return self._place.signed_url(name, seconds)

    def open_link(self, path: str, query: str, now: float) -> str:
        """The name of the object that a link opens. `path` is quoted, as it came.

        Raises NotFound for a link that is not ours and for one that has expired, BadRequest for what is no link.
        """
        fields = parse_qs(query)
        expires, signature = fields.get("expires", [""])[0], fields.get("signature", [""])[0]
        if not path.startswith(PATH) or not expires.isascii() or not expires.isdigit() or len(expires) > 12:
            raise BadRequest("The link is not complete. Copy all of it, the part behind the question mark too.")
        if not hmac.compare_digest(self._sign(path, int(expires)).encode(), signature.encode(errors="replace")):
            raise NotFound("The link's signature does not fit. Ask for the job again: its answer has a good link.")
        if now >= int(expires):
            raise NotFound("The link has expired. Ask for the job again: its answer has a new one.")
        return unquote(path.removeprefix(PATH))

    def _sign(self, path: str, expires: int) -> str:
        return hmac.new(self._secret, f"{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except NotFound:  # its message would tell where the place is
        raise NotFound("The result is not there any more: it was deleted, or has expired.") from None
