"""HTTPS with certificates of an authority of our own, for clients that insist on it.

The authority is made once and kept: who trusts `authority.pem` trusts the gateway's certificates after every start.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Collection
from pathlib import Path

from pixelserve.errors import Unavailable

_FOLDER = "tls"
_AUTHORITY, _KEPT, _SERVED = "authority.pem", "authority-with-key.pem", "server.pem"
"""Files in the folder: the certificate to trust; the authority, which signs; key and certificate that are served."""


def authority_file(state: Path) -> Path:
    """The certificate to trust, of the authority kept in the state folder."""
    return state / _FOLDER / _AUTHORITY


def certificate_for(names: Collection[str], state: Path) -> Path | None:
    """The file of key and certificate for these hosts, made anew by the authority kept in the state folder.

    None without names. Raises Unavailable where the folder cannot be written, or trustme is not installed.
    """
    if not names:
        return None
    try:
        import trustme
    except ImportError:
        raise Unavailable("HTTPS needs trustme. Install the extra: pip install 'pixelserve[gateway]'.") from None
    folder = state / _FOLDER
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        kept = folder / _KEPT
        if not kept.exists():
            made = trustme.CA(organization_name="pixelserve", organization_unit_name="self-made, this machine only")
            _write(kept, made.private_key_pem.bytes() + made.cert_pem.bytes(), replace=False)
        key, begin, certificate = kept.read_bytes().partition(b"-----BEGIN CERTIFICATE")
        authority = trustme.CA.from_pem(begin + certificate, key)
        _write(authority_file(state), authority.cert_pem.bytes(), mode=0o644)
        _write(folder / _SERVED, authority.issue_cert(*names).private_key_and_cert_chain_pem.bytes())
    except OSError as error:
        raise Unavailable(f"Certificates cannot be kept in {folder}: {error.strerror}. Free it for writing.") from None
    return folder / _SERVED


def _write(path: Path, content: bytes, *, mode: int = 0o600, replace: bool = True) -> None:
    """The whole file at once; without `replace`, one that another process has made meanwhile stands."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    try:
        if replace:
            part.replace(path)
        else:
            path.hardlink_to(part)
    except FileExistsError:
        pass
    finally:
        part.unlink(missing_ok=True)
