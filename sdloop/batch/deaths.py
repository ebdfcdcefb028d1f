"""What becomes of a unit whose process died: it goes to another one, or its picture is failed.

A picture may be the cause: one that needs too much memory, or that meets a bug in a driver. After
the third death a unit is halved, and halved again with each one more, until that picture is alone.
When it has killed two processes alone it is failed, and all others are made.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace

from sdloop.batch.pool import Job, Unit

_TOGETHER, _ALONE = 3, 2  # deaths


def left_of(unit: Unit, reported: Collection[str], *, blamed: bool) -> Unit:
    """The unit without the pictures that its process reported before it died.

    If there were any, the picture that it died with is not that of the earlier deaths.
    """
    jobs = [job.only([key for key in job.wanted if key not in reported]) for job in unit.jobs]
    left = replace(unit, jobs=[job for job in jobs if job.wanted])
    deaths = unit.deaths if len(left) == len(unit) else 0
    return replace(left, deaths=deaths + blamed)


def is_fatal(unit: Unit) -> bool:
    """Whether its only picture has killed too many processes."""
    return len(unit) == 1 and unit.deaths >= _ALONE


def retries(unit: Unit) -> list[Unit]:
    """The unit, or its halves."""
    if len(unit) <= 1 or unit.deaths < _TOGETHER:
        return [unit] if unit.jobs else []
    halves = [replace(unit, jobs=jobs) for jobs in _halves(unit.jobs)]
    return [replace(half, deaths=0 if len(half) == 1 else _TOGETHER - 1) for half in halves]


def _halves(jobs: Sequence[Job]) -> list[Sequence[Job]]:
    """Two halves of the jobs; of a single one, its pictures each in a batch of its own."""
    if len(jobs) > 1:
        return [jobs[: len(jobs) // 2], jobs[len(jobs) // 2 :]]
    return [[replace(jobs[0].only([key]), lines=jobs[0].of(key))] for key in jobs[0].wanted]
