"""Stops a listening socket from accepting handshakes while its queue is drained."""

import ctypes
import select
import socket
import struct
import sys
from collections.abc import Sequence
from contextlib import suppress

SO_ATTACH_FILTER = 26  # asm-generic/socket.h; Python has no name for it
TCP_FLAGS, SYN, ACK = 13, 0x02, 0x10  # the offset of the flags in TCP's header, and two of them
# A classic BPF program of (code, jump if true, jump if false, operand), see socket(7) and the kernel's filter.rst.
DROP_SYN = (
    (0x30, 0, 0, TCP_FLAGS),  # load the byte
    (0x54, 0, 0, SYN | ACK),  # and
    (0x15, 0, 1, SYN),  # the first packet of a handshake?
    (0x06, 0, 0, 0),  # drop it
    (0x06, 0, 0, 0xFFFFFFFF),  # keep it
)


def refuse_new_connections(sockets: Sequence[socket.socket]) -> None:
    """Drop new SYNs, since closing a socket resets the connections in its accept queue.

    A client retries after a second, and is refused once the port is closed. The filter applies to every duplicate of
    the socket, in other processes too. It does nothing on other systems than Linux, or where a sandbox forbids it.
    """
    if sys.platform != "linux":
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *each) for each in DROP_SYN))
    option = struct.pack("@HP", len(DROP_SYN), ctypes.addressof(program))
    for listener in sockets:
        with suppress(OSError):
            listener.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, option)


def waits_for_accept(sockets: Sequence[socket.socket]) -> bool:
    """Whether the accept queue is not empty."""
    poll = select.poll()
    for listener in sockets:
        poll.register(listener, select.POLLIN)
    return bool(poll.poll(0))
