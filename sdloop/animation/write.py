"""Frames → a file that moves, one frame at a time, with its texts.

Each format's file is put together here from single pictures that Pillow packs: Pillow's own writers
of moving files keep all the frames in memory, and want the texts before the first of them.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from sdloop.animation.apng import write_apng
from sdloop.animation.gif import write_gif
from sdloop.animation.video import check_video, write_mp4
from sdloop.animation.webp import write_webp
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists, check_writable, write_filled

if TYPE_CHECKING:
    from PIL.Image import Image

Texts = Callable[[], Mapping[str, str]]
Timed = Iterator[tuple["Image", int]]

_WRITERS: Mapping[str, Callable[[BinaryIO, Timed, int, Texts], None]] = {
    ".gif": write_gif,
    ".webp": write_webp,
    ".png": write_apng,
    ".mp4": write_mp4,
}


def no_texts() -> Mapping[str, str]:
    return {}


def write_moving(
    path: Path,
    frames: Iterable["Image"],
    *,
    durations: Iterable[float],
    loop: int = 0,
    texts: Texts = no_texts,
    exists: Exists = "fail",
) -> Path:
    """Write ``frames``, of one size, as a file that moves; return the path it got.

    The suffix decides the format: .gif (256 colours, one palette for all frames), .webp and .png
    (lossless), .mp4 (through the extra "video"). ``durations`` are each frame's seconds, of which
    there may be more: ``itertools.repeat(1 / fps)``. ``loop`` is how often it runs, 0 for ever;
    an MP4 cannot say it. ``texts`` is called after the last frame, and returns what
    ``sdloop.metadata.record.texts_of`` does. Of the frames one at a time is in memory.

    Raises what ``check_moving`` does beforehand, and ``FileError``; whatever ``frames`` raises, no
    file is left behind then.
    """
    check_moving(path, exists=exists)
    writer = _WRITERS[path.suffix.lower()]
    timed = _timed(frames, durations)
    return write_filled(path, lambda file: writer(file, timed, loop, texts), exists=exists)


def check_moving(path: Path, *, exists: Exists = "fail") -> None:
    """Refuse, before any sampling, what ``write_moving`` would only find out at the end.

    Raises ``SettingError`` for an unknown suffix or a missing extra, ``FileError`` for a name in
    use or a folder that cannot be written to.
    """
    if path.suffix.lower() not in _WRITERS:
        raise SettingError(
            f"the file name of an animation must end in {', '.join(_WRITERS)}, got {str(path)!r}"
        )
    if path.suffix.lower() == ".mp4":
        check_video()
    check_writable(path, exists=exists)


def _timed(frames: Iterable["Image"], durations: Iterable[float]) -> Timed:
    """Each frame in RGB with its milliseconds; rounding does not add up over the frames."""
    now, told = 0.0, 0
    size = None
    # Not strict: the durations may go on for ever. They come second, for zip asks the first first.
    for frame, seconds in zip(frames, durations, strict=False):
        size = size or frame.size
        if frame.size != size:
            raise SettingError(f"frames must be of one size, got {size} and {frame.size}")
        now += 1000 * seconds
        yield frame.convert("RGB"), round(now) - told
        told = round(now)
    if size is None:
        raise SettingError("frames must be at least one, got none")
