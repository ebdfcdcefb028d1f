"""What is missing of a plan, as tasks: batches with the pictures of them that are to be made.

This depends only on the plan and on what is there, and not on who makes the tasks: ``run`` in this
process, or ``driver`` in a pool of processes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from sdloop.batch.finish import AlreadyThere
from sdloop.batch.found import Found, found_in
from sdloop.batch.grouping import grouped, windows
from sdloop.batch.leftovers import remove_leftovers
from sdloop.batch.planned import Planned
from sdloop.places.path import StorePath


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A batch, and its pictures to make; each batch is tried at most twice.

    ``rows`` is the size of the plan's other batches of this shape: a compiled UNet pads to it.
    """

    batch: Sequence[Planned]
    wanted: Sequence[Planned]
    again: bool = False
    rows: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class RunOptions:
    """How a plan is run; none of it changes a picture.

    folder, depth
        Where to look for finished pictures, and how many levels of subfolders to search.
    size_for
        The batch size for pictures like a planned one. It is only called if some are missing, and
        must always return the same.
    shard
        (3, 8) makes only every eighth batch, starting with the third.
    rescan
        Open all finished pictures, as if there were no index.
    redo_since
        Make all pictures again, except those written since this time, in seconds since 1970, by
        another process with the same task.
    shared
        Other processes may choose the same pictures, so that each is claimed before it is made.
    """

    folder: Path
    depth: int | None = None
    size_for: Callable[[Planned], int] = lambda planned: 1
    shard: tuple[int, int] = (1, 1)
    rescan: bool = False
    redo_since: float | None = None
    shared: bool = True


@contextmanager
def chosen(
    plan: Iterable[Planned], options: RunOptions, stopping: Callable[[], bool]
) -> Iterator[tuple[Iterator[Task | AlreadyThere], Found]]:
    """The tasks of a plan, which is read as needed, and what was found of it.

    In the end, the half-written files of killed processes are removed.
    """
    found, folders = Found(), set[Path]()
    if options.redo_since is None:
        found = found_in(options.folder, depth=options.depth, rescan=options.rescan)
    tasks = missing(plan, found, size_for=options.size_for, shard=options.shard, stopping=stopping)
    try:
        yield _noted(tasks, folders), found
    finally:
        remove_leftovers(found.leftovers, folders)


def _noted(
    tasks: Iterable[Task | AlreadyThere], folders: set[Path]
) -> Iterator[Task | AlreadyThere]:
    for task in tasks:
        if isinstance(task, Task):
            paths = (one.path for one in task.wanted)
            folders |= {path.parent for path in paths if not isinstance(path, StorePath)}
        yield task


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
        batches = grouped(window, size_for, is_first=number == 0)
        for position, (batch, rows) in enumerate(batches, start=number):
            if stopping():
                return
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
