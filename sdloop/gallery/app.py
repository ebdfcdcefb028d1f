"""The page and all its requests, over HTTP; ``guard`` decides who may send requests.

::

    GET  /                    the page; also page.css and page.js
    GET  /news?after=N        what is new since number N, and what is picked
    GET  /picture/ID          the file itself
    GET  /thumbnail/ID        a thumbnail
    GET  /facts/ID            all settings in the file, and the commands that remake it
    POST /choose/ID/CHOICE    "pick", "reject" or "none"
    POST /copy                copy the picks to the folder that the command named
    GET  /larger              the commands that make the picks larger
    POST /larger              run these commands
"""

import json
import threading
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sdloop.errors import FileError
from sdloop.gallery.choices import Choice, Choices, choices_of, choose
from sdloop.gallery.commands import runs_code
from sdloop.gallery.copies import copy_whole
from sdloop.gallery.facts import full, larger_of, record_or_none
from sdloop.gallery.folder import PictureFile, content_of, id_of
from sdloop.gallery.guard import Guard
from sdloop.gallery.index import Index
from sdloop.gallery.jobs import Job, Jobs
from sdloop.gallery.thumbnails import thumbnail

PAGE = Path(__file__).parent / "page"

_KEEP = "private, max-age=31536000, immutable"  # a changed picture gets a new address


@dataclass(frozen=True, kw_only=True, slots=True)
class Desk:
    """All that one page works on.

    ``root`` is the folder, absolute and without links, ``shown`` the same folder as the user named
    it. Picks are copied to ``copies``, thumbnails are cached in ``cache``; for ``standing`` see
    ``remaking``.
    """

    root: Path
    shown: Path
    copies: Path
    cache: Path
    index: Index
    standing: Collection[str] = ()
    jobs: Jobs = field(default_factory=Jobs)
    lock: threading.Lock = field(default_factory=threading.Lock)


def guarded_app(desk: Desk, *, port: int, token: str) -> Guard:
    """The app for ``desk``, open only to those who know the token."""
    return Guard(app(desk), port=port, token=token)


@dataclass(frozen=True, slots=True)
class Answers:
    """What each request of the page for ``desk`` is answered with."""

    desk: Desk

    def page(self, request: Request) -> Response:
        return _static("page.html", "text/html; charset=utf-8")

    def style(self, request: Request) -> Response:
        return _static("page.css", "text/css; charset=utf-8")

    def script(self, request: Request) -> Response:
        return _static("page.js", "text/javascript; charset=utf-8")

    def news(self, request: Request) -> Response:
        return _json(_news(self.desk, _whole(request.query_params.get("after", "0"))))

    def picture(self, request: Request) -> Response:
        seen = _seen(self.desk, request)
        return _image(content_of(self.desk.root, seen.path), seen.content_type)

    def thumbnail(self, request: Request) -> Response:
        return _image(*thumbnail(self.desk.root, _seen(self.desk, request), self.desk.cache))

    def facts(self, request: Request) -> Response:
        desk, seen = self.desk, _seen(self.desk, request)
        return _json(full(desk.root, seen, shown=desk.shown, standing=desk.standing))

    def choose(self, request: Request) -> Response:
        desk, choice = self.desk, request.path_params["choice"]
        if choice not in get_args(Choice):
            raise HTTPException(404, f"choice must be pick, reject or none, got {choice!r}")
        with desk.lock:
            return _json(_chosen(choose(desk.root, _seen(desk, request).path, choice)))

    def copy(self, request: Request) -> Response:
        desk = self.desk
        there, gone = _picks(desk)
        new = copy_whole(desk.root, [seen.path for seen in there], desk.copies)
        counts = {"copied": len(new), "there": len(there) - len(new), "gone": gone}
        return _json({**counts, "folder": str(desk.copies)})

    def larger(self, request: Request) -> Response:
        jobs = _larger(self.desk)
        if request.method == "POST":
            self.desk.jobs.add(jobs)
        by_hand = sum(job.by_hand for job in jobs)
        return _json({"commands": [str(job.command) for job in jobs], "by_hand": by_hand})


def app(desk: Desk) -> Starlette:
    """All requests of the page. An error is answered with a line of text."""
    answers = Answers(desk)
    routes = [
        Route("/", answers.page),
        Route("/page.css", answers.style),
        Route("/page.js", answers.script),
        Route("/news", answers.news),
        Route("/picture/{id}", answers.picture),
        Route("/thumbnail/{id}", answers.thumbnail),
        Route("/facts/{id}", answers.facts),
        Route("/choose/{id}/{choice}", answers.choose, methods=["POST"]),
        Route("/copy", answers.copy, methods=["POST"]),
        Route("/larger", answers.larger, methods=["GET", "POST"]),
    ]
    return Starlette(routes=routes, exception_handlers={FileError: _file_error})


def _news(desk: Desk, after: int) -> dict[str, Any]:
    news = desk.index.news(after)
    with desk.lock:
        choices = choices_of(desk.root)
    return {
        "folder": str(desk.shown),
        "copies": str(desk.copies),
        "number": news.number,
        "pictures": news.pictures,
        "gone": news.gone,
        "unread": news.unread,
        "jobs": desk.jobs.all(),
        **_chosen(choices),
    }


def _chosen(choices: Choices) -> dict[str, list[str]]:
    return {"picks": list(choices.picks), "rejects": list(choices.rejects)}


def _picks(desk: Desk) -> tuple[list[PictureFile], list[str]]:
    """The picks whose files exist, in the order of picking, and the paths of the missing ones.

    The list may be edited by hand: paths outside of the folder count as missing.
    """
    with desk.lock:
        picks = choices_of(desk.root).picks
    found = {path: desk.index.picture(id_of(path)) for path in picks}
    return (
        [seen for seen in found.values() if seen is not None],
        [path for path, seen in found.items() if seen is None],
    )


def _larger(desk: Desk) -> list[Job]:
    """The jobs for picks that sdloop made, and that have no job yet."""
    begun = {job["path"] for job in desk.jobs.all() if job["state"] != "failed"}
    jobs = []
    for seen in _picks(desk)[0]:
        record = record_or_none(desk.root, seen)
        if record is None or record.recipe is None or record.moving or record.step:
            continue
        if seen.path not in begun:
            command = larger_of(record, seen, shown=desk.shown, standing=desk.standing)
            jobs.append(Job(path=seen.path, command=command, by_hand=runs_code(record.recipe)))
    return jobs


def _seen(desk: Desk, request: Request) -> PictureFile:
    seen = desk.index.picture(request.path_params["id"])
    if seen is None:
        raise HTTPException(404, "there is no such picture in the folder")
    return seen


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 16):
        raise HTTPException(400, f"after must be a whole number, got {text!r}")
    return int(text)


def _file_error(request: Request, error: Exception) -> Response:
    return _plain(str(error), 404 if request.method == "GET" else 500)


def _plain(text: str, status: int) -> Response:
    data = text.encode("utf-8", "backslashreplace")
    return Response(data, status, media_type="text/plain; charset=utf-8")


def _static(name: str, content_type: str) -> Response:
    data = (PAGE / name).read_bytes()
    return Response(data, headers={"content-type": content_type, "cache-control": "no-cache"})


def _json(value: Any) -> Response:
    """JSON in ASCII, because a file name may contain bytes that are not valid UTF-8."""
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    return Response(json.dumps(value), headers=headers)


def _image(data: bytes, content_type: str) -> Response:
    return Response(data, headers={"content-type": content_type, "cache-control": _KEEP})
