"""Every piece of uvicorn that serving and the gateway stand on and that uvicorn does not promise, in this version."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import importlib
import inspect
import socket
from collections import deque
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from uvicorn.config import Config
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import ServerState

MODULE = "pixelserve.serving.native.connection"
"""The one module of serving that knows uvicorn; its protocol stands on the one of callers."""
IMPORTED = {
    "uvicorn.config.Config",
    "uvicorn.server.ServerState",
}
OPTIONS = {"app", "http", "ws", "log_config", "access_log", "proxy_headers", "timeout_keep_alive"}
"""What its configuration is made of."""
PIECES = {
    Config: {"config", "load"},
    ServerState: {"connections", "default_headers"},
    HttpToolsProtocol: {
        *("__init__", "connection_lost", "data_received", "on_message_begin"),
        *("on_message_complete", "on_response_complete", "shutdown"),
        *(
            "app",
            "cycle",
            "flow",
            "pipeline",
            "loop",
            "timeout_keep_alive",
            "timeout_keep_alive_handler",
            "timeout_keep_alive_task",
            "transport",
        ),
    },
    RequestResponseCycle: {"disconnected", "response_complete", "response_started", "transport"},
    FlowControl: {"resume_reading"},
}
"""Whose attributes and methods are used or overridden: all that stands in the code of serving."""
OURS = {"body", "drain", "host"}
"""Names in the module that mean things of ours, though uvicorn has some of that name too."""

CALLERS_MODULE = "pixelserve.callers.connection"
CALLERS_IMPORTED = {
    "uvicorn.protocols.http.flow_control.FlowControl",
    "uvicorn.protocols.http.httptools_impl.HttpToolsProtocol",
    "uvicorn.protocols.http.httptools_impl.RequestResponseCycle",
}
CALLERS_OVERRIDDEN = {
    "connection_made": ["self", "transport"],
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_message_begin": ["self"],
    "on_header": ["self", "name", "value"],
    "on_headers_complete": ["self"],
    "on_body": ["self", "body"],
    "on_message_complete": ["self"],
    "on_response_complete": ["self"],
    "pause_writing": ["self"],
    "resume_writing": ["self"],
}
CALLERS_PIECES = {
    *CALLERS_OVERRIDDEN,
    *("__init__", "connections", "cycle", "flow", "headers", "loop", "parser", "pipeline", "transport", "url"),
    "_unset_keepalive_if_required",
    *("disconnected", "message_event", "more_body", "response_complete", "response_started", "resume_reading"),
}


def _names_of(owner: type) -> set[str]:
    """What a class of uvicorn defines, and what it puts on `self`."""
    nodes = list(ast.walk(ast.parse(inspect.getsource(owner))))
    functions = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    return functions | {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
    }


def _used(tree: ast.AST) -> set[str]:
    """Every attribute and every function's name in the module that knows uvicorn."""
    functions = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)}
    return functions | {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}


def _used_of_connections(tree: ast.AST) -> set[str]:
    """The attributes of what another module calls `connection`, and theirs."""
    used = set()
    for node in ast.walk(tree):
        attributes, inner = set(), node
        while isinstance(inner, ast.Attribute):
            attributes.add(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == "connection":
            used |= attributes
    return used


def _imported(tree: ast.AST) -> set[str]:
    """What a module imports of uvicorn."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in names if name.partition(".")[0] == "uvicorn"}


def test_serving_uses_no_other_piece() -> None:
    own = Path(inspect.getfile(importlib.import_module(MODULE)))
    serving = Path(inspect.getfile(importlib.import_module("pixelserve.serving"))).parent
    theirs = set().union(*map(_names_of, PIECES))
    used: set[str] = set()
    for file in serving.rglob("*.py"):
        tree = ast.parse(file.read_text())
        assert _imported(tree) == (IMPORTED if file == own else set()), file
        used |= _used(tree) if file == own else _used_of_connections(tree)
    assert (used - OURS) & theirs == set().union(*PIECES.values())


def test_callers_use_no_other_piece() -> None:
    tree = ast.parse(inspect.getsource(importlib.import_module(CALLERS_MODULE)))
    theirs = set().union(*map(_names_of, PIECES))
    assert _imported(tree) == CALLERS_IMPORTED
    assert _used(tree) & theirs == CALLERS_PIECES
    takes = {name: list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) for name in CALLERS_OVERRIDDEN}
    assert takes == CALLERS_OVERRIDDEN


def test_a_cycle_asks_no_more_of_its_transport_than_ours_has() -> None:
    asked = {
        node.attr
        for node in ast.walk(ast.parse(inspect.getsource(RequestResponseCycle)))
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "self.transport"
    }
    assert asked == {"close", "is_closing", "write"}


def test_the_configuration_is_made_of_known_options() -> None:
    tree = ast.parse(inspect.getsource(importlib.import_module(MODULE)))
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") == "Config"]
    assert [{keyword.arg for keyword in call.keywords} for call in calls] == [OPTIONS]
    assert set(inspect.signature(Config).parameters) >= OPTIONS


def test_the_pieces_that_are_overridden_take_what_ours_take() -> None:
    takes = {name: list(inspect.signature(getattr(HttpToolsProtocol, name)).parameters) for name in OVERRIDDEN}
    assert takes == OVERRIDDEN
    assert list(inspect.signature(HttpToolsProtocol).parameters)[:3] == ["config", "server_state", "app_state"]


OVERRIDDEN = {
    "connection_lost": ["self", "exc"],
    "data_received": ["self", "data"],
    "on_headers_complete": ["self"],
    "on_message_begin": ["self"],
    "on_response_complete": ["self"],
    "shutdown": ["self"],
}


class Recorded(HttpToolsProtocol):
    """Notes which of the methods that ours overrides are called."""

    def __init__(self, config: Config, state: ServerState) -> None:
        super().__init__(config, state, {})
        self.calls: list[str] = []


def _recording(name: str) -> Callable[..., None]:
    def method(self: Recorded, *arguments: Any) -> None:
        self.calls.append(name)
        getattr(HttpToolsProtocol, name)(self, *arguments)

    return method


for _name in OVERRIDDEN:
    setattr(Recorded, _name, _recording(_name))


Conversation = tuple[Recorded, ServerState, socket.socket]


@contextlib.asynccontextmanager
async def _conversation(app: Any) -> AsyncIterator[Conversation]:
    """A connection that runs `app`, its state, and the caller's end."""
    config = Config(_unused, http="httptools", ws="none", log_config=None, access_log=False, timeout_keep_alive=75)
    config.load()
    state = ServerState()
    state.default_headers = [(b"x-default", b"yes")]
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        protocol = Recorded(config, state)
        protocol.app = app
        assert not protocol.cycle
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, ours)
        yield protocol, state, theirs
        protocol.transport.abort()
        await _until(lambda: protocol not in state.connections)


async def _unused(_scope: Any, _receive: Any, _send: Any) -> None:
    raise AssertionError("the app of a connection is its own attribute")


async def _until(condition: Any) -> None:
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.01)


def _post(body: bytes, length: int) -> bytes:
    return f"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n".encode() + body


async def _talk() -> None:
    """Two requests, the second before the first is answered, and then the end."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while (await receive()).get("more_body"):
            pass
        await go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})

    async with _conversation(app) as (protocol, state, caller):
        loop = asyncio.get_running_loop()
        assert protocol in state.connections
        assert isinstance(protocol.flow, FlowControl)
        assert isinstance(protocol.pipeline, deque)
        await loop.sock_sendall(caller, _post(b"1", length=2))
        await _until(lambda: protocol.cycle is not None)
        first = protocol.cycle
        assert isinstance(first, RequestResponseCycle)
        assert (first.more_body, first.response_complete) == (True, False)
        await loop.sock_sendall(caller, b"2" + _post(b"", length=0))
        await _until(lambda: protocol.pipeline)
        assert (first.more_body, first.response_complete) == (False, False)
        assert protocol.cycle is not first
        protocol.flow.resume_reading()
        go.set()
        await _until(lambda: protocol.cycle.response_complete)
        assert first.response_complete
        assert not protocol.pipeline
        received = await loop.sock_recv(caller, 65536)
        assert received.count(b"HTTP/1.1 200 OK") == received.count(b"x-default: yes") == 2
        assert protocol.calls.index("on_message_begin") < protocol.calls.index("on_headers_complete")
        assert protocol.calls.count("on_response_complete") == 2
        protocol.shutdown()
        await _until(lambda: protocol not in state.connections)
        assert protocol.calls[-1] == "connection_lost"


def test_a_conversation_goes_as_ours_expects() -> None:
    asyncio.run(_talk())
