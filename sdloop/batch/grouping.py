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
K = TypeVar("K", bound=Hashable)


def windows(plan: Iterable[Planned], size: int = WINDOW) -> Iterator[list[Planned]]:
    """The plan in pieces of ``size``."""
    rest = iter(plan)
    while window := list(itertools.islice(rest, size)):
        yield window


def grouped(
    window: Sequence[Planned], size_for: Callable[[Planned], int], *, is_first: bool
) -> Iterator[tuple[list[Planned], int]]:
    """The batches of a window, each of one model and shape, ordered by their first pictures.

    Yields each with the size of the plan's other batches of this shape, which only the plan
    decides: in the first window it is that of the shape's first batch, later ones may follow full
    batches. ``size_for`` gives the batch size for pictures like this one. If it is 1, pictures stay
    in the order of the plan, except that they are grouped by model.
    """
    for alike in _sorted(window, lambda one: model_of(one.recipe)).values():
        for size, same in _sorted(alike, size_for).items():
            shapes = [same] if size == 1 else _sorted(same, _shape).values()
            for shape in shapes:
                rows = min(size, len(shape)) if is_first else size
                for start in range(0, len(shape), size):
                    yield shape[start : start + size], rows


def kind_of(planned: Planned) -> Hashable:
    """The model and the shape, which are equal in all of a batch."""
    return model_of(planned.recipe), _shape(planned)


def _shape(planned: Planned) -> Hashable:
    return shape_of(planned.recipe, embeds_guidance=planned.checkpoint.embeds_guidance)


def _sorted(items: Iterable[T], kind_of: Callable[[T], K]) -> dict[K, list[T]]:
    """Group items by kind, ordered by the first item of each kind."""
    kinds: dict[K, list[T]] = {}
    for item in items:
        kinds.setdefault(kind_of(item), []).append(item)
    return kinds
