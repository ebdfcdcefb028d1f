"""Who may send requests to this server: only its own page, which knows the token.

A server on the loopback address can be reached by every page in the same browser, and by every user
of the machine. So the address has a secret part, the token. Requests under another host name are
refused (a foreign page could let its own name point here: DNS rebinding), and so are changes that
another page requests.
"""

import secrets
from typing import Any

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; img-src 'self' data:; style-src 'self'; script-src 'self'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
}


class Guard:
    """``app``, only for requests to 127.0.0.1:``port`` whose path begins with ``token``."""

    def __init__(self, app: ASGIApp, *, port: int, token: str) -> None:
        self._app = app
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._token = token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        refusal = self._refusal(scope)

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_raw(_HEADERS)]
            await send(message)

        if refusal is not None:
            await PlainTextResponse(refusal, 403)(scope, receive, guarded)
            return
        path = "/" + scope["path"].removeprefix("/").partition("/")[2]
        await self._app({**scope, "path": path, "root_path": ""}, receive, guarded)

    def _refusal(self, scope: Scope) -> str | None:
        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        if headers.get("host") not in self._hosts:
            return (
                "This server answers only at 127.0.0.1: use the address that sdloop pick printed."
            )
        token, slash, _ = scope["path"].removeprefix("/").partition("/")
        if not secrets.compare_digest(token.encode(), self._token.encode()) or not slash:
            return "The address has no valid token: use the address that sdloop pick printed."
        if scope["method"] not in ("GET", "HEAD") and not _is_own(headers):
            return "Changes that other pages ask for are refused."
        return None


def _is_own(headers: dict[str, str]) -> bool:
    """Whether the request comes from our page; programs other than browsers send no origin."""
    origin = headers.get("origin", f"http://{headers['host']}")
    site = headers.get("sec-fetch-site", "same-origin")
    return origin == f"http://{headers['host']}" and site == "same-origin"


def _raw(headers: dict[str, str]) -> list[Any]:
    return [(name.encode(), value.encode()) for name, value in headers.items()]
