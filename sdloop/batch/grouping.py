"""Group planned pictures into batches: this depends only on the plan, never on what is left.

A picture's last bits may depend on its batch, so each picture must have the same neighbours in
every run of the plan: uninterrupted, resumed, or shared by many processes.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from typing import TypeVar

from sdloop.batch.planned import Planned
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of

# The number of pictures that are sorted by model and shape; more of a plan is never in memory.
WINDOW = 1024

T = TypeVar("T")


def windows(plan: Iterable[Planned], size: int = WINDOW) -> Iterator[list[Planned]]:
    """The plan in pieces of ``size``."""
    rest = iter(plan)
    while window := list(itertools.islice(rest, size)):
        yield window


def grouped(
    window: Sequence[Planned], size_for: Callable[[Planned], int]
) -> Iterator[list[Planned]]:
    """The batches of a window, each of one model and shape, ordered by their first pictures.

    ``size_for`` gives the batch size for pictures like this one. If it is 1, pictures stay in the
    order of the plan, except that they are grouped by model.
    """
    for alike in _sorted(window, lambda one: model_of(one.recipe)):
        sizes = _sorted(alike, size_for)
        for same in sizes:
            size = size_for(same[0])
            shapes = [same] if size == 1 else _sorted(same, _shape)
            for shape in shapes:
                for start in range(0, len(shape), size):
                    yield shape[start : start + size]


def kind_of(planned: Planned) -> Hashable:
    """The model and the shape, which are equal in all of a batch."""
    return model_of(planned.recipe), _shape(planned)


def _shape(planned: Planned) -> Hashable:
    return shape_of(planned.recipe, embeds_guidance=planned.checkpoint.embeds_guidance)


def _sorted(items: Iterable[T], kind_of: Callable[[T], Hashable]) -> list[list[T]]:
    """Group items by kind, ordered by the first item of each kind."""
    kinds: dict[Hashable, list[T]] = {}
    for item in items:
        kinds.setdefault(kind_of(item), []).append(item)
    return list(kinds.values())
