"""What is missing of a plan, as tasks: batches with the pictures of them that are to be made.

This depends only on the plan and on what is there. Who makes the tasks differs: ``run`` in this
process, ``gpu_processes`` in one for each GPU, and ``driver`` in a pool, wherever it is.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from sdloop.batch.finish import AlreadyThere
from sdloop.batch.found import Found
from sdloop.batch.grouping import grouped, kind_of, windows
from sdloop.batch.planned import Planned


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A batch, and its pictures to make; each batch is tried at most twice.

    ``rows`` is the size of the plan's other batches of this shape: a compiled UNet pads to it.
    """

    batch: Sequence[Planned]
    wanted: Sequence[Planned]
    again: bool = False
    rows: int = 0


def missing(
    plan: Iterable[Planned],
    found: Found,
    *,
    size_for: Callable[[Planned], int],
    shard: tuple[int, int] = (1, 1),
    stopping: Callable[[], bool] = lambda: False,
) -> Iterator[Task | AlreadyThere]:
    """Each batch of the plan with a picture that is not ``found``, and each picture that is.

    The plan is read as needed, a window at a time. ``size_for`` is only called for windows in which
    pictures are missing. ``shard`` (3, 8) is the third of eight parts.
    """
    part, parts = shard
    for number, window in enumerate(windows(plan)):
        if all(one.key in found for one in window):
            yield from (AlreadyThere(planned=one) for one in window)
            continue
        most: dict[object, int] = {}
        for position, batch in enumerate(grouped(window, size_for), start=number):
            if stopping():
                return
            # Only the plan decides it. Of a window that is not the first, earlier ones may have
            # had full batches.
            rows = most.setdefault(kind_of(batch[0]), size_for(batch[0]) if number else len(batch))
            if position % parts == part - 1:
                yield from _of_batch(batch, found, rows)


def _of_batch(batch: Sequence[Planned], found: Found, rows: int) -> Iterator[Task | AlreadyThere]:
    wanted: dict[str, Planned] = {}
    for one in batch:
        if one.key in found or one.key in wanted:
            yield AlreadyThere(planned=one)
        else:
            wanted[one.key] = one
    for key in wanted:  # the plan may have the picture again, under another name
        found.add(key)
    if wanted:
        yield Task(batch=batch, wanted=list(wanted.values()), rows=rows)
