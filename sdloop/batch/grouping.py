"""Which planned pictures are sampled together: decided by the plan alone, never by what is left.

A picture's last bit may depend on how many share its batch, so the neighbours of each must be the
same in every run of the plan: undisturbed, resumed, or shared by many processes.
"""

import itertools
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from sdloop.batch.planned import Planned
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.batchable import shape_of

# So many pictures are looked at together: models and shapes that alternate within them are sorted,
# and more of a plan is never in memory.
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
    """The batches of a window: of one model and one shape, in the order of the first of each.

    ``size_for`` tells how many pictures like this one are made at once. Where that is one, all stay
    in the order of the plan, but for its models.
    """
    for alike in _sorted(window, lambda item: model_of(item.planned.recipe)):
        sizes = _sorted(alike, lambda item: size_for(item.planned))
        for same in sizes:
            size = size_for(same[0].planned)
            shapes = (
                [same] if size == 1 else _sorted(same, lambda item: shape_of(item.planned.recipe))
            )
            for shape in shapes:
                for start in range(0, len(shape), size):
                    yield shape[start : start + size]


def _sorted(items: Iterable[T], kind_of: Callable[[T], Hashable]) -> list[list[T]]:
    """Those of one kind together, kinds in the order of their first."""
    kinds: dict[Hashable, list[T]] = {}
    for item in items:
        kinds.setdefault(kind_of(item), []).append(item)
    return list(kinds.values())
