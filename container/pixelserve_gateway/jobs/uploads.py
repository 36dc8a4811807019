"""Images that are sent before they are used, each a tenant's own, gone after a while."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from pixelserve.errors import BodyTooLarge, InvalidImage, NotFound
from pixelserve.imaging import read_size
from pixelserve.media_types import content_type_of
from pixelserve_gateway.jobs.job import is_id, new_id, time_of
from pixelserve_gateway.results import Results, StoredObject

UPLOADS = "uploads/"
FORM_SECONDS = 900
"""From an upload's id to its file."""


@dataclass(frozen=True)
class UploadForm:
    """A form that stores one file: POST it to `url` with `fields`, the file last as `file`, until `expires`."""

    id: str
    url: str
    fields: dict[str, str]
    expires: float


class Uploads:
    """All calls block. An upload's id is decimal digits and tells its age. `seconds` is how long each is kept."""

    def __init__(
        self, results: Results, *, most_bytes: int, seconds: float, clock: Callable[[], float] = time.time
    ) -> None:
        self._results = results
        self._clock = clock
        self.most_bytes = most_bytes
        self.seconds = seconds

    def new_id(self) -> str:
        return new_id(self._clock())

    def write(self, tenant: str, upload_id: str, content: bytes) -> None:
        """Stores the bytes of an image file.

        Raises NotFound for an id that was not given within FORM_SECONDS, BodyTooLarge, InvalidImage for what is no
        image.
        """
        if not _is_younger(upload_id, self._clock(), min(FORM_SECONDS, self.seconds)):
            raise _missing(upload_id)
        if len(content) > self.most_bytes:
            raise BodyTooLarge(f"The file is larger than {self.most_bytes:,} bytes. Shrink or compress the image.")
        if read_size(content) is None:
            raise InvalidImage("The file is no image that is read here. Send JPEG, PNG, BMP, WebP or TIFF.")
        self._results.write(_name(tenant, upload_id), content, content_type_of(content))

    def find(self, tenant: str, upload_id: str) -> StoredObject:
        """Where the file lies. Raises NotFound for what was never sent, is gone, or is another tenant's."""
        if not _is_younger(upload_id, self._clock(), self.seconds):
            raise _missing(upload_id)
        try:
            return self._results.find(_name(tenant, upload_id))
        except NotFound:
            raise _missing(upload_id) from None

    def form(self, tenant: str, own_url: str) -> UploadForm:
        """How to send the file of a new upload: a presigned POST of S3 with a cap of the size, or `own_url`/ID."""
        upload_id = self.new_id()
        expires = self._clock() + FORM_SECONDS
        signed = self._results.upload_form(_name(tenant, upload_id), self.most_bytes, FORM_SECONDS)
        url, fields = signed or (f"{own_url}/{upload_id}", {})
        return UploadForm(upload_id, url, fields, expires)

    def is_old(self, name: str, now: float) -> bool:
        """Whether the time of the upload that has that name among the results is over."""
        upload_id = name.rpartition("/")[2]
        return is_id(upload_id) and not _is_younger(upload_id, now, self.seconds)


def _is_younger(upload_id: str, now: float, seconds: float) -> bool:
    """Whether the id is of this time. One of the future, which nobody was given, would be kept until then."""
    return is_id(upload_id) and abs(now - time_of(upload_id)) < seconds


def _missing(upload_id: str) -> NotFound:
    return NotFound(f"There is no upload {upload_id[:64]!r}. Begin a new one: uploads are removed after a while.")


def _name(tenant: str, upload_id: str) -> str:
    return f"{UPLOADS}{hashlib.sha256(tenant.encode()).hexdigest()[:16]}/{upload_id}"
