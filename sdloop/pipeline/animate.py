"""Frames in, frames out: each through img2img, with the same noise, in one stream."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from PIL import Image

from sdloop.animation.read import Frames
from sdloop.animation.settle import frames_recipe
from sdloop.images.input.animated import frame_of
from sdloop.images.input.frame import framed
from sdloop.images.input.read import InputImage, check_sha256
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import stream
from sdloop.pipeline.picture import Picture
from sdloop.pipeline.resolve import file_hashes
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_number

Known = Callable[[int, Recipe], Image.Image | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One finished frame.

    ``index`` counts from 0. ``source`` is the input frame, in RGB and at the size of
    ``image``, what became of it. ``recipe`` is resolved. ``picture`` is None where ``known`` had
    the image already.
    """

    index: int
    source: Image.Image
    image: Image.Image
    recipe: Recipe
    picture: Picture | None


def animate(
    components: Components,
    frames: Frames,
    recipe: Recipe,
    *,
    carry: float = 0.0,
    known: Known = lambda index, recipe: None,
) -> Iterator[Step | Frame]:
    """Every one of ``frames`` through ``recipe``, as it happens: a frame's steps, then the frame.

    All of them get the noise of the Recipe's one seed. ``carry``, 0 to 1, is the share of the last
    result in what the next frame starts from: their pixels are mixed before they are encoded. At 0
    a frame is, to the bit, the picture that img2img makes of it. ``known`` is asked for each frame
    with its resolved Recipe, and what it returns is not made again.

    The prompt is encoded once, and one frame at a time is in memory. A frame's Recipe names as its
    image what it started from: with ``carry`` that is in no file, and its sha256 is that of the
    mixed pixels.

    Raises ``SettingError`` as ``frames_recipe`` does, and for a carry out of range; else what
    ``stream`` does.
    """
    check_number("carry", carry, 0, 1)
    settled = frames_recipe(
        components, frames, recipe, carry=carry, lora_hashes=file_hashes(recipe)
    )
    opened: dict[str, InputImage] = {}
    asked: list[Recipe] = []
    last: Image.Image | None = None
    # It asks for a Recipe when it is resumed after the last picture, and one is there by then.
    events = stream(components, iter(asked.pop, None), open_image=opened.__getitem__)
    for index, (name, frame) in enumerate(frames.read()):
        check_sha256(frame.name, frames.sha256s[index], frame.sha256)
        source = _seen(frame, settled)
        if carry and last is not None:
            name = f"frame {index + 1} of {frames.name} with {carry:g} of the last result"
            frame = frame_of(Image.blend(source, last, carry), name)
        opened.clear()
        opened[name] = frame
        one = replace(settled, image=name, image_sha256=frame.sha256)
        last = known(index, one)
        if last is not None:
            yield Frame(index=index, source=source, image=last, recipe=one, picture=None)
            continue
        asked.append(one)
        picture = yield from _made(events)
        last = picture.image
        yield Frame(index=index, source=source, image=last, recipe=picture.recipe, picture=picture)


def _made(events: Iterator[Step | Picture]) -> Generator[Step, None, Picture]:
    """The steps up to the next picture, and that."""
    for event in events:
        if isinstance(event, Picture):
            return event
        yield event
    raise AssertionError("a Recipe was asked for")


def _seen(frame: InputImage, recipe: Recipe) -> Image.Image:
    """The frame as the model is shown it."""
    assert recipe.resize and recipe.background  # resolved
    return framed(frame, recipe.size, resize=recipe.resize, background=recipe.background)
