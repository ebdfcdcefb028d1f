"""Run a batch in a pool of processes, wherever they are; only this process reads the plan."""

from collections.abc import Callable, Generator, Iterable, Iterator
from pathlib import Path

from sdloop.batch.claims import remove_leftovers
from sdloop.batch.driver import make_all
from sdloop.batch.finish import AlreadyThere
from sdloop.batch.found import Found, found_in
from sdloop.batch.gpu_processes import Message
from sdloop.batch.planned import Planned
from sdloop.batch.pool import Pool
from sdloop.batch.run import RunOptions
from sdloop.batch.units import Task, missing
from sdloop.places.path import StorePath


def messages_of(
    plan: Iterable[Planned], options: RunOptions, pool: Pool, stopping: Callable[[], bool]
) -> Generator[Message, None, None]:
    """Make the missing pictures of the plan; yields a message for each event."""
    found, folders = Found(), set[Path]()
    if options.redo_since is None:
        found = found_in(options.folder, depth=options.depth, rescan=options.rescan)
    tasks = missing(plan, found, size_for=options.size_for, shard=options.shard, stopping=stopping)
    try:
        yield from make_all(_noted(tasks, folders), pool, stopping=stopping)
    finally:
        pool.close()
    remove_leftovers(found.leftovers, folders)


def _noted(
    tasks: Iterable[Task | AlreadyThere], folders: set[Path]
) -> Iterator[Task | AlreadyThere]:
    for task in tasks:
        if isinstance(task, Task):
            paths = (one.path for one in task.wanted)
            folders |= {path.parent for path in paths if not isinstance(path, StorePath)}
        yield task
