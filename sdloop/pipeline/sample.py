"""From Recipes to the latents of their pictures, batch by batch; ``generate`` decodes them."""

import itertools
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import lru_cache

from sdloop.conditioning.value import Conditioning
from sdloop.errors import OutOfMemory
from sdloop.images.input.read import OpenImage
from sdloop.loop import Step
from sdloop.models.components.device import PeakMemory
from sdloop.models.components.load import Components
from sdloop.models.memory import Stopwatch, free_memory, memory_errors
from sdloop.pipeline.conditioned import conditioned, stacked
from sdloop.pipeline.loaded_model import LoadedModel
from sdloop.pipeline.outpaint import growing_from, window_recipes
from sdloop.pipeline.passes import run
from sdloop.pipeline.picture import Picture, SampledBatch
from sdloop.pipeline.readers import Readers, readers_for
from sdloop.pipeline.safety import flags_of
from sdloop.pipeline.stage import sigmas_of_row, stages_of
from sdloop.recipe.batchable import batches, shape_of
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of

Event = Step | SampledBatch | Picture


def sampled(
    model: LoadedModel,
    recipes: Iterable[Recipe],
    batch_size: int,
    open_image: OpenImage,
    *,
    rows: int = 0,
) -> Iterator[Event]:
    """``stream`` without decoding: yields the latents of each batch after its steps.

    Outpainted pictures are decoded between their passes. With the same ``model`` for many calls,
    each prompt is encoded once. ``recipes`` are resolved; each batch starts when it is full.

    If the UNet is compiled, a batch that is smaller than an earlier one of its shape, or than
    ``rows``, is padded, so that nothing is compiled for its size.
    """
    last_opened = lru_cache(maxsize=2)(open_image)  # a picture and its mask
    readers = readers_for(model, last_opened)
    embeds = model.components.embeds_guidance
    most: dict[object, int] = {}

    def make(part: Sequence[Recipe], rows: int) -> Iterator[Event]:
        if part[0].growth is None:
            return _make(model, part, rows, readers)
        return _outpaint(model, part, rows, last_opened)

    for batch in batches(recipes, batch_size, embeds_guidance=embeds):
        padded = 0
        if model.components.compile != "off":
            shape = shape_of(batch[0], embeds_guidance=embeds)
            padded = most.setdefault(shape, max(rows, len(batch)))
        yield from _fitting(batch, padded, make)


def _fitting(
    batch: Sequence[Recipe], rows: int, make: Callable[[Sequence[Recipe], int], Iterator[Event]]
) -> Iterator[Event]:
    """Make a batch; if memory runs out, make its halves one after the other.

    ``make`` pads it to ``rows``, if these are more.
    """
    done = 0
    try:
        with memory_errors(batch[0], len(batch)):
            for event in make(batch, rows):
                if not isinstance(event, Step):
                    done += len(event.batch) if isinstance(event, SampledBatch) else 1
                yield event
            return
    except OutOfMemory:
        if max(len(batch), rows) == 1:
            raise
    # Outside of the handler, whose traceback keeps memory that must be freed first.
    free_memory()
    rest = batch[done:]
    half = (len(rest) + 1) // 2
    warnings.warn(
        f"not enough memory for a batch of {max(len(batch), rows)}: continuing with {half}",
        RuntimeWarning,
        stacklevel=2,
    )
    for part in (rest[:half], rest[half:]):
        if part:
            yield from _fitting(part, half if rows else 0, make)


def _outpaint(
    model: LoadedModel, batch: Sequence[Recipe], rows: int, open_image: OpenImage
) -> Iterator[Step | Picture]:
    """One batch of outpainting: each pass inpaints a batch of windows inside a mask."""
    watch = Stopwatch()
    growing = [growing_from(recipe, open_image) for recipe in batch]
    passes = passes_of(batch[0], model.components)
    unchecked = replace(model, components=replace(model.components, safety_checker=None))
    made: list[Picture] = []
    most = 0  # steps of a pass; a scheduler may take fewer
    for number, one in enumerate(passes):
        windows, open_window = window_recipes(
            batch, growing, one, number, model.components, open_image
        )
        made = []
        resolved = (model.resolved(window, open_window) for window in windows)
        for event in sampled(unchecked, resolved, len(batch), open_window, rows=rows):
            if isinstance(event, SampledBatch):
                made += event.pictures()
            elif isinstance(event, Picture):
                made.append(event)
            else:
                with watch.stopped():
                    most = max(most, event.total)
                    left_out = most - event.total if one is passes[-1] else 0
                    index, total = number * most + event.index, len(passes) * most - left_out
                    yield replace(event, index=index, total=total)
        for picture, window in zip(growing, made, strict=True):
            picture.paint(one, window.image)
    seconds = watch.seconds() / len(batch)
    flags = flags_of(model.components, [picture.image for picture in growing], batch)
    for recipe, picture, window, flagged in zip(batch, growing, made, flags, strict=True):
        yield replace(window, image=picture.image, recipe=recipe, seconds=seconds, flagged=flagged)


def _make(
    model: LoadedModel, batch: Sequence[Recipe], rows: int, readers: Readers
) -> Iterator[Step | SampledBatch]:
    """One batch, from the prompts to the latents, padded to so many ``rows``.

    Prompts of different lengths, or with AND, cannot share a forward pass: they go one after the
    other.
    """
    watch = Stopwatch()
    components, conditionings = conditioned(model, batch, readers.embed_images)
    reading = watch.seconds() / len(batch)
    pairs = zip(conditionings, batch, strict=True)
    # Not padded to one length: a picture must not depend on the others in its batch.
    for _, alike in itertools.groupby(pairs, key=lambda pair: [one.shapes for one in pair[0]]):
        group = list(alike)
        wanted = len(group)
        group += group[-1:] * (rows - wanted)
        conditioning = stacked([row for row, _ in group])
        recipes = [recipe for _, recipe in group]
        yield from _sample(model, components, recipes, wanted, conditioning, readers, reading)


def _sample(
    model: LoadedModel,
    components: Components,
    batch: Sequence[Recipe],
    wanted: int,
    conditionings: Sequence[Conditioning],
    readers: Readers,
    reading: float,
) -> Iterator[Step | SampledBatch]:
    """From the conditioning to the latents; ``reading`` is each picture's time for its prompt.

    ``components`` are those of the ``model``, with the LoRAs of the batch. A refiner has
    ``conditionings`` of its own. The first ``wanted`` pictures are kept; the others only pad.
    """
    watch, peak = Stopwatch(), PeakMemory(components.device)
    planned = stages_of(components, batch, model.own)
    for step in run(components, planned, conditionings, readers=readers, own=model.own):
        # A part of the latents, and no copy: who changes it changes what the next step starts from.
        latents = step.latents[:wanted]
        with watch.stopped():
            yield replace(step, latents=latents, denoised=step.denoised[:wanted])
    yield SampledBatch(
        model=model,
        batch=tuple(batch[:wanted]),
        latents=latents,
        sigmas=tuple(sigmas_of_row(planned, row) for row in range(wanted)),
        seconds=reading + watch.seconds() / wanted,
        peak=peak,
        encode_input=readers.encode_input,
    )
