"""Group planned pictures into batches: this depends only on the plan, never on what is left.

A picture's last bits may depend on its batch, so each picture must have the same neighbours in
every run of the plan: uninterrupted, resumed, or shared by many processes.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sdloop.batch.planned import Planned
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of

# The number of pictures that are sorted by model and shape; more of a plan is never in memory.
WINDOW = 1024

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Item:
    """A planned picture and its content key."""

    planned: Planned
    key: str


def windows(items: Iterable[Item], size: int = WINDOW) -> Iterator[list[Item]]:
    """The plan in pieces of ``size``."""
    rest = iter(items)
    while window := list(itertools.islice(rest, size)):
        yield window


def grouped(window: Sequence[Item], size_for: Callable[[Planned], int]) -> Iterator[list[Item]]:
    """The batches of a window, each of one model and shape, ordered by their first pictures.

    ``size_for`` gives the batch size for pictures like this one. If it is 1, pictures stay in the
    order of the plan, except that they are grouped by model.
    """
    for alike in _sorted(window, lambda item: model_of(item.planned.recipe)):
        sizes = _sorted(alike, lambda item: size_for(item.planned))
        for same in sizes:
            size = size_for(same[0].planned)
            shapes = [same] if size == 1 else _sorted(same, _shape)
            for shape in shapes:
                for start in range(0, len(shape), size):
                    yield shape[start : start + size]


def _shape(item: Item) -> Hashable:
    embeds = item.planned.checkpoint.embeds_guidance
    return shape_of(item.planned.recipe, embeds_guidance=embeds)


def _sorted(items: Iterable[T], kind_of: Callable[[T], Hashable]) -> list[list[T]]:
    """Group items by kind, ordered by the first item of each kind."""
    kinds: dict[Hashable, list[T]] = {}
    for item in items:
        kinds.setdefault(kind_of(item), []).append(item)
    return list(kinds.values())
