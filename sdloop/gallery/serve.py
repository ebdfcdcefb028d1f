"""Serve the page on a port of 127.0.0.1, until Ctrl-C."""

import os
import secrets
import socket
import sys
import threading
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from sdloop.errors import SettingError
from sdloop.gallery.thumbnails import forget_old

if TYPE_CHECKING:
    from sdloop.gallery.app import Desk

HOST = "127.0.0.1"


def check_framework() -> None:
    """Raise ``SettingError`` if the web framework is not installed."""
    try:
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ModuleNotFoundError as error:
        raise SettingError(
            f"the page needs {error.name}: pip install 'sdloop[pick]' (--export works without it)"
        ) from error


def serve(desk: "Desk", *, port: int, browser: bool, tell: Callable[[str], None]) -> None:
    """Serve until interrupted; ``tell`` is called with the address as soon as it works.

    Port 0 means any free port. Raises ``SettingError`` if the port is in use.
    """
    import uvicorn

    from sdloop.gallery.app import guarded_app

    token = secrets.token_urlsafe(24)
    with _listening(port) as listener:
        found = listener.getsockname()[1]
        address = f"http://{HOST}:{found}/{token}/"
        config = uvicorn.Config(
            guarded_app(desk, port=found, token=token),
            lifespan="off",
            ws="none",
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        threading.Thread(target=forget_old, args=(desk.cache,), daemon=True).start()
        tell(address)
        if browser and _has_screen():
            threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
        # After a signal uvicorn shuts down cleanly, and then raises the signal again.
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    desk.jobs.end()


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port), backlog=128)
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else error
        raise SettingError(f"port must be free, got {port}: {reason}") from error


def _has_screen() -> bool:
    """Whether there is a display: without one, a text browser would take over the terminal."""
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
