"""Write frames as an animation, one frame at a time, with its metadata texts.

Each format is assembled from single pictures that Pillow encodes. Pillow's own writers of
animations keep all frames in memory, and need the texts before the first frame.
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
    """Write ``frames``, which must have one size, as an animation; returns the path of the file.

    The suffix decides the format: .gif (256 colours, one palette for all frames), .webp and .png
    (lossless), .mp4 (needs the extra "video"). ``durations`` are the seconds of each frame; it may
    be endless, like ``itertools.repeat(1 / fps)``. ``loop`` is how often the animation runs, 0 for
    endless; an MP4 cannot store it. ``texts`` is called after the last frame and returns texts like
    those of ``sdloop.metadata.record.texts_of``. Only one frame is in memory at a time.

    Raises what ``check_moving`` raises, before the first frame; ``FileError`` if it cannot write;
    and whatever ``frames`` raises. No file is left after an error.
    """
    check_moving(path, exists=exists)
    writer = _WRITERS[path.suffix.lower()]
    timed = _timed(frames, durations)
    return write_filled(path, lambda file: writer(file, timed, loop, texts), exists=exists)


def check_moving(path: Path, *, exists: Exists = "fail") -> None:
    """Check ``path`` before any sampling, so that ``write_moving`` does not fail at the end.

    Raises ``SettingError`` for an unknown suffix or a missing extra, ``FileError`` if the file
    exists or the folder is not writable.
    """
    if path.suffix.lower() not in _WRITERS:
        raise SettingError(
            f"the file name of an animation must end in {', '.join(_WRITERS)}, got {str(path)!r}"
        )
    if path.suffix.lower() == ".mp4":
        check_video()
    check_writable(path, exists=exists)


def _timed(frames: Iterable["Image"], durations: Iterable[float]) -> Timed:
    """Each frame in RGB with its milliseconds, without adding up rounding errors."""
    now, shown = 0.0, 0
    size = None
    # Not strict: the durations may be endless. Frames come first, so that zip runs
    # their generator to its end.
    for frame, seconds in zip(frames, durations, strict=False):
        size = size or frame.size
        if frame.size != size:
            raise SettingError(f"frames must all have one size, got {size} and {frame.size}")
        now += 1000 * seconds
        yield frame.convert("RGB"), round(now) - shown
        shown = round(now)
    if size is None:
        raise SettingError("frames must have at least one item, got none")
