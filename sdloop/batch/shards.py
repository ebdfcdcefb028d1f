"""Which part of a plan a job of an array makes: ``--shard 3/8``, or ``--shard auto``."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from sdloop.errors import SettingError


@dataclass(frozen=True, kw_only=True, slots=True)
class _Array:
    """Who starts an array of jobs, and the variables in which it says a job's ``number`` and how
    many there are (``count``); numbers begin at ``first`` and are ``step`` apart."""

    who: str
    number: str
    count: str
    first: str | None = None
    step: str | None = None


_ARRAYS = (
    _Array(
        who="Slurm",
        number="SLURM_ARRAY_TASK_ID",
        count="SLURM_ARRAY_TASK_COUNT",
        first="SLURM_ARRAY_TASK_MIN",
        step="SLURM_ARRAY_TASK_STEP",
    ),
    _Array(
        who="AWS Batch",
        number="AWS_BATCH_JOB_ARRAY_INDEX",
        count="AWS_BATCH_JOB_ARRAY_SIZE",
    ),
    _Array(who="Kubernetes", number="JOB_COMPLETION_INDEX", count="JOB_COMPLETIONS"),
    _Array(who="SkyPilot", number="SKYPILOT_NODE_RANK", count="SKYPILOT_NUM_NODES"),
)


def parse_shard(text: str | None, environment: Mapping[str, str]) -> tuple[int, int]:
    """The number of the part, from 1 on, and how many parts there are.

    "auto" takes both from the variables of Slurm, AWS Batch, Kubernetes or SkyPilot. Raises
    ``SettingError`` for another text, and for "auto" without them.

    >>> parse_shard("3/8", {})
    (3, 8)
    >>> parse_shard("auto", {"AWS_BATCH_JOB_ARRAY_INDEX": "2", "AWS_BATCH_JOB_ARRAY_SIZE": "8"})
    (3, 8)
    """
    if text is None:
        return 1, 1
    if text == "auto":
        return _of_array(environment)
    found = re.fullmatch("([0-9]{1,9})/([0-9]{1,9})", text, re.ASCII)
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise SettingError(f"shard must be like 3/8, from 1/8 to 8/8, or auto, got {text!r}")
    return int(found[1]), int(found[2])


def _of_array(environment: Mapping[str, str]) -> tuple[int, int]:
    array = next((one for one in _ARRAYS if one.number in environment), None)
    if array is None:
        names = ", ".join(one.who for one in _ARRAYS)
        raise SettingError(
            f"shard auto needs an array job of {names}, and none has set its variables"
        )
    if array.count not in environment:
        raise SettingError(
            f"shard auto needs {array.count} beside {array.number}, which {array.who} has set"
        )
    parts, number = _whole(environment, array.count), _whole(environment, array.number)
    start = 0 if array.first is None else _whole(environment, array.first)
    stride = 1
    if array.step is not None and array.step in environment:
        stride = max(1, _whole(environment, array.step))
    place, rest = divmod(number - start, stride)
    if rest or not 0 <= place < parts:
        raise SettingError(
            f"shard auto needs numbers without gaps, got {array.number}={number} of {parts} jobs "
            f"of {array.who}"
        )
    return place + 1, parts


def _whole(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise SettingError(f"{name} must be a whole number for shard auto, got {text!r}")
    return int(text)
