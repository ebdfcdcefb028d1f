"""Read the frames of an animated picture or video, or several pictures as frames."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdloop.animation.video import DEMUXERS, read_video
from sdloop.errors import FileError
from sdloop.images.input.animated import read_animated
from sdloop.images.input.read import InputImage, bytes_of, open_image
from sdloop.rules import Size

MAX_FRAMES = 10_000

ReadFrames = Iterator[tuple[str, InputImage, float | None]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frames:
    """Input frames. All were read once, so any damaged frame has already raised an error.

    ``sha256`` is the hash of the file; for several pictures it is the hash of their hashes.
    ``sha256s`` are the hashes of the frames. ``sizes`` are the different sizes of the frames.
    ``durations`` are the seconds of each frame; None for several pictures. ``read`` reads the
    frames again, one at a time; it yields the name and the picture of each.
    """

    name: str
    sha256: str
    sha256s: tuple[str, ...]
    sizes: tuple[Size, ...]
    durations: tuple[float, ...] | None
    read: Callable[[], Iterator[tuple[str, InputImage]]]

    def __len__(self) -> int:
        return len(self.sha256s)


def open_frames(files: Sequence[str], *, name: str | None = None) -> Frames:
    """Open one animated file, or several pictures in the given order, under the name ``name``.

    A GIF, WebP or PNG keeps the durations of its frames, a video its frame rate. Raises
    ``FileError`` if a file cannot be read, or if there is only one frame.
    """
    if len(files) == 1:
        return _clip(lambda: _moving(files[0]), name or files[0], _file_sha256(files[0]))
    return _clip(lambda: _row(files), name or _named(files), None)


def _clip(read: Callable[[], ReadFrames], name: str, sha256: str | None) -> Frames:
    hashes: list[str] = []
    sizes: dict[Size, None] = {}
    durations: list[float] = []
    for _, frame, seconds in read():
        hashes.append(frame.sha256)
        sizes[frame.image.size] = None
        if seconds is not None:
            durations.append(seconds)
        if len(hashes) > MAX_FRAMES:
            raise FileError(f"{name!r} must have at most {MAX_FRAMES} frames, got more")
    if len(hashes) < 2:
        raise FileError(f"{name!r} has only one frame: use sdloop img2img")
    return Frames(
        name=name,
        sha256=sha256 or hashlib.sha256("".join(hashes).encode()).hexdigest(),
        sha256s=tuple(hashes),
        sizes=tuple(sizes),
        durations=tuple(durations) or None,
        read=lambda: ((one, frame) for one, frame, _ in read()),
    )


def _moving(file: str) -> ReadFrames:
    """Read the frames of one file; they are named file#1, file#2 …"""
    if Path(file).suffix.lower() in DEMUXERS:
        frames = read_video(Path(file))
    else:
        frames = read_animated(bytes_of(file), repr(file))
    for index, (frame, seconds) in enumerate(frames, 1):
        yield f"{file}#{index}", frame, seconds


def _row(files: Sequence[str]) -> ReadFrames:
    for file in files:
        frame = open_image(file)
        if frame.animated:
            raise FileError(f"{frame.name} is an animation: use it alone, without other files")
        yield file, frame, None


def _file_sha256(file: str) -> str:
    try:
        with Path(file).open("rb") as opened:
            return hashlib.file_digest(opened, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot read {file!r}: {reason}") from error


def _named(files: Sequence[str]) -> str:
    return f"{files[0]} … {files[-1]}" if files else "nothing"
