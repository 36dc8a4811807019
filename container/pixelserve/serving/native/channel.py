"""Messages between the supervisor and a worker: one packet each on a SOCK_SEQPACKET pair.

To the worker: CONNECTION (slot, with the accepted socket), DRAIN. From it: READY, FAILED (state, text), CLOSED (slot),
RETURNED (slot: the connection is idle, and the supervisor has it again), MISSED (slot: the socket did not come along).

A packet is a byte of kind, four of slot, one of state (its place in `State`, 255 for none), and text.
"""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass

from pixelserve.errors import State

CONNECTION, DRAIN, READY, FAILED, CLOSED, RETURNED, MISSED = range(7)
_HEAD = struct.Struct("!BIB")
_STATES = tuple(State)
_NO_STATE = 255
_MOST_TEXT = 8_000


@dataclass(frozen=True, slots=True)
class Message:
    kind: int
    slot: int
    state: State | None
    text: str
    connection: socket.socket | None


def pair() -> tuple[socket.socket, socket.socket]:
    """Both ends of a new channel."""
    return socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


def send(
    link: socket.socket,
    kind: int,
    text: str = "",
    *,
    slot: int = 0,
    state: State | None = None,
    pass_on: socket.socket | None = None,
) -> None:
    """Sends one message, with a socket where the kind has one. Raises OSError when the other side is gone."""
    code = _NO_STATE if state is None else _STATES.index(state)
    packet = _HEAD.pack(kind, slot, code) + text.encode()[:_MOST_TEXT]
    socket.send_fds(link, [packet], [pass_on.fileno()] if pass_on is not None else [])


def receive(link: socket.socket) -> Message | None:
    """The next message, None when the other side is gone. A process without free descriptors gets no socket with it."""
    try:
        packet, descriptors, _flags, _address = socket.recv_fds(link, _HEAD.size + _MOST_TEXT, 1)
    except OSError:
        return None
    if not packet:
        return None
    kind, slot, code = _HEAD.unpack_from(packet)
    state = None if code == _NO_STATE else _STATES[code]
    connection = socket.socket(fileno=descriptors[0]) if descriptors else None
    return Message(kind, slot, state, packet[_HEAD.size :].decode(errors="replace"), connection)
