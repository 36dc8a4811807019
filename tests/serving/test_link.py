"""Messages between supervisor and worker, where a socket does not come along."""

from __future__ import annotations

import contextlib
import os
import resource
import socket

from pixelserve.serving.native import channel


def test_a_socket_that_is_lost_makes_no_other_message_of_it() -> None:
    ours, theirs = channel.pair()
    passed, other = socket.socketpair()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ours, theirs, passed, other:
        channel.send(ours, channel.CONNECTION, slot=7, pass_on=passed)
        with contextlib.closing(os.fdopen(os.dup(0))) as last:
            resource.setrlimit(resource.RLIMIT_NOFILE, (last.fileno() + 1, hard))
            try:
                message = channel.receive(theirs)
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert message is not None
    assert (message.kind, message.slot, message.connection) == (channel.CONNECTION, 7, None)
