"""The sites that both tests call."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import sites


class SecureSite(NamedTuple):
    """`port` on loopback speaks TLS and is sites.NAME to whom `trust` is given; `seen` has the names asked for."""

    port: int
    trust: ssl.SSLContext
    seen: list[str | None]


@pytest.fixture(scope="module")
def site() -> Iterator[str]:
    with sites.serving() as server:
        yield f"http://127.0.0.1:{server.server_port}"


@pytest.fixture(scope="module")
def secure_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSite]:
    context, trust = sites.certificate(tmp_path_factory.mktemp("certificate"))
    with sites.serving(context) as server:
        yield SecureSite(server.server_port, trust, server.seen)
