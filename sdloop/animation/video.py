"""Read and write videos with PyAV, which the extra "video" installs."""

import importlib.util
import io
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from sdloop.errors import FileError, SettingError
from sdloop.images.input.animated import frame_of
from sdloop.images.input.read import InputImage, check_pixels
from sdloop.metadata.containers import mp4_box

if TYPE_CHECKING:
    from PIL.Image import Image

# FFmpeg's names of the formats. No playlists: they could open other files.
DEMUXERS = {
    ".mp4": "mp4",
    ".m4v": "mp4",
    ".mov": "mp4",
    ".mkv": "matroska",
    ".webm": "matroska",
    ".avi": "avi",
}
# Nearly lossless: x264's scale is from 0 (lossless) to 51.
_QUALITY = "12"


def check_video() -> None:
    """Raise ``SettingError`` if PyAV is not installed."""
    if importlib.util.find_spec("av") is None:
        raise SettingError("videos need PyAV: pip install 'sdloop[video]'")


def write_mp4(
    file: BinaryIO,
    frames: Iterator[tuple["Image", int]],
    loop: int,
    texts: Callable[[], Mapping[str, str]],
) -> None:
    """Write ``frames``, RGB images with milliseconds, as H.264. ``loop`` must be 0."""
    import av

    if loop:
        raise SettingError(f"loop cannot be set for .mp4 files, got {loop}")
    with av.open(file, "w", format="mp4") as container:
        stream: Any = None
        now = 0
        for image, milliseconds in frames:
            if stream is None:
                stream = _stream(container, image)
            frame = av.VideoFrame.from_image(image)
            frame.pts, frame.time_base = now, Fraction(1, 1000)
            container.mux(stream.encode(frame))
            now += milliseconds
        container.mux(stream.encode())
    file.seek(0, io.SEEK_END)
    file.write(mp4_box(texts()))


def _stream(container: Any, image: "Image") -> Any:
    if image.width % 2 or image.height % 2:
        raise SettingError(
            f"width and height must be even for .mp4 files, got {image.width}x{image.height}"
        )
    stream = container.add_stream("libx264", options={"crf": _QUALITY})
    stream.width, stream.height = image.size
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = stream.time_base = Fraction(1, 1000)
    return stream


def read_video(path: Path) -> Iterator[tuple[InputImage, float]]:
    """Read each frame of the video, rotated upright, with its seconds at the mean frame rate.

    Raises ``SettingError`` if PyAV is not installed, ``FileError`` if it is no complete video.
    """
    from PIL import Image

    with _opened(path) as (video, stream):
        check_pixels((stream.codec_context.width, stream.codec_context.height), repr(str(path)))
        seconds = float(1 / stream.average_rate) if stream.average_rate else 1 / 25
        for index, frame in enumerate(video.decode(stream), 1):
            image = frame.to_image()
            turned: Image.Image = image.rotate(frame.rotation, expand=True)
            yield frame_of(turned, f"frame {index} of {str(path)!r}"), seconds


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """Open the container and its first video stream. Raises ``FileError`` if it is no video."""
    check_video()
    import av

    name = str(path)
    try:
        with path.open("rb") as file, av.open(file, format=DEMUXERS[path.suffix.lower()]) as video:
            if not video.streams.video:
                raise FileError(f"{name!r} contains no video")
            yield video, video.streams.video[0]
    except av.FFmpegError as error:
        raise FileError(f"{name!r} is not a valid video: {error.strerror}") from error
    except OSError as error:
        raise FileError(f"cannot read {name!r}: {error.strerror or error}") from error
