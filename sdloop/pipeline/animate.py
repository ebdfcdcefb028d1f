"""Run img2img on the frames of an animation, with the same noise for all frames."""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace

from PIL import Image

from sdloop.animation.read import Frames
from sdloop.animation.settle import frames_recipe
from sdloop.images.input.animated import frame_of
from sdloop.images.input.frame import framed
from sdloop.images.input.read import InputImage, check_sha256, open_image
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import stream
from sdloop.pipeline.picture import Picture
from sdloop.pipeline.resolve import file_hashes, image_prompt_hashes
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_number

Known = Callable[[int, Recipe], Image.Image | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Frame:
    """One finished frame.

    ``index`` counts from 0. ``source`` is the input frame, in RGB and at the size of the result
    ``image``. ``recipe`` is resolved. ``picture`` is None if the image came from ``known``.
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
    """Run ``recipe`` on each of ``frames``; yields a frame's steps, and then the finished frame.

    All frames get the noise of the Recipe's seed. ``carry``, 0 to 1, is the share of the previous
    result that is mixed into the pixels of the next input frame. At 0 each frame is bit-equal to
    img2img of that frame. ``known`` is called with each frame's resolved Recipe; if it returns an
    image, the frame is not made again.

    The prompt is encoded once, and only one frame is in memory. The image in a frame's Recipe is
    its input: with ``carry`` that is not a file, and its sha256 is that of the mixed pixels.

    Raises ``SettingError`` as ``frames_recipe`` does, and for a carry out of range; else what
    ``stream`` does.
    """
    check_number("carry", carry, 0, 1)
    hashes = file_hashes(recipe) | image_prompt_hashes(recipe, open_image)
    settled = frames_recipe(components, frames, recipe, carry=carry, hashes=hashes)
    opened: dict[str, InputImage] = {}
    asked: list[Recipe] = []
    last: Image.Image | None = None
    # The stream asks for the next Recipe after each picture; it is ready by then.
    events = stream(
        components,
        iter(asked.pop, None),
        open_image=lambda name: opened[name] if name in opened else open_image(name),
    )
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
    """The steps up to the next picture, and then the picture."""
    for event in events:
        if isinstance(event, Picture):
            return event
        yield event
    raise AssertionError("a Recipe was asked for")


def _seen(frame: InputImage, recipe: Recipe) -> Image.Image:
    """The frame at the size for the model."""
    assert recipe.resize and recipe.background  # resolved
    return framed(frame, recipe.size, resize=recipe.resize, background=recipe.background)
