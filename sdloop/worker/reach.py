"""Connections between processes of one user."""

import os
import socket
import struct
from pathlib import Path

from sdloop.worker.messages import Line

_CONNECT = 10.0  # seconds


def connected(path: Path) -> Line | None:
    """A connection to the worker at this socket; None if no process of this user listens."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_CONNECT)
    try:
        connection.connect(str(path))
        if same_user(connection):
            return Line(connection)
    except OSError:
        pass
    connection.close()
    return None


def same_user(connection: socket.socket) -> bool:
    """Whether the other end of a connection is a process of this user."""
    if hasattr(socket, "SO_PEERCRED"):
        size = struct.calcsize("3i")
        credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size)
        return bool(struct.unpack("3i", credentials)[1] == os.getuid())
    # macOS and BSD: struct xucred, whose second word is the user id.
    credentials = connection.getsockopt(0, 1, 76)  # SOL_LOCAL, LOCAL_PEERCRED
    return bool(struct.unpack_from("2I", credentials)[1] == os.getuid())
