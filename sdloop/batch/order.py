"""The order of a plan, so that pictures which can be made at once stand side by side."""

import itertools
from collections.abc import Iterable, Iterator

from sdloop.batch.planned import Planned, model_of
from sdloop.batches import shape_of

# As many are planned before the first is made, which takes a fraction of a second.
WINDOW = 1024


def in_batches(plan: Iterable[Planned], *, window: int = WINDOW) -> Iterator[Planned]:
    """The same pictures, sorted within each ``window`` of neighbours; nothing else is kept.

    Those of a model stand together, of these those with the same LoRAs, of these those that can
    share a forward pass: each in the order in which the plan names the first of its kind. It
    depends on nothing but the plan.
    """
    rest = iter(plan)
    while some := list(itertools.islice(rest, window)):
        places: dict[object, int] = {}
        kinds = [(model_of(one.recipe), one.recipe.loras, shape_of(one.recipe)) for one in some]
        keys = [tuple(places.setdefault(part, len(places)) for part in kind) for kind in kinds]
        for _, one in sorted(zip(keys, some, strict=True), key=lambda pair: pair[0]):
            yield one
