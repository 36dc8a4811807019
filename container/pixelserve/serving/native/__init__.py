"""This package's own server: all that knows the insides of uvicorn, and sockets that pass between processes."""

from typing import TYPE_CHECKING

from pixelserve.lazy import exports

if TYPE_CHECKING:
    from pixelserve.serving.native.acceptor import Acceptor, open_listener
    from pixelserve.serving.native.board import Board
    from pixelserve.serving.native.connection import Host
    from pixelserve.serving.native.supervisor import run
else:
    __getattr__ = exports(
        __name__,
        {
            ".acceptor": "Acceptor open_listener",
            ".board": "Board",
            ".connection": "Host",
            ".supervisor": "run",
        },
    )

__all__ = ["Acceptor", "Board", "Host", "open_listener", "run"]
