"""Which part of a plan a job of an array makes: ``--shard 3/8``, or ``--shard auto``."""

import re
from collections.abc import Mapping

from sdloop.errors import SettingError

# Who starts an array of jobs, the variable with a job's number, that with the number of jobs, and
# that with the first number, which is 0 without one. The step of Slurm's numbers comes last.
_ARRAYS = (
    (
        "Slurm",
        *("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_COUNT"),
        *("SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_STEP"),
    ),
    ("AWS Batch", "AWS_BATCH_JOB_ARRAY_INDEX", "AWS_BATCH_JOB_ARRAY_SIZE", None, None),
    ("Kubernetes", "JOB_COMPLETION_INDEX", "JOB_COMPLETIONS", None, None),
    ("SkyPilot", "SKYPILOT_NODE_RANK", "SKYPILOT_NUM_NODES", None, None),
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
    for who, number, count, first, step in _ARRAYS:
        if number not in environment:
            continue
        if count not in environment:
            raise SettingError(f"shard auto needs {count} beside {number}, which {who} has set")
        parts = _whole(environment, count)
        start = 0 if first is None else _whole(environment, first)
        stride = 1 if step is None or step not in environment else _whole(environment, step)
        place, rest = divmod(_whole(environment, number) - start, max(1, stride))
        if rest or not 0 <= place < parts:
            raise SettingError(
                f"shard auto needs numbers without gaps, got {number}={environment[number]} of "
                f"{parts} jobs of {who}"
            )
        return place + 1, parts
    names = ", ".join(who for who, *_ in _ARRAYS)
    raise SettingError(f"shard auto needs an array job of {names}, and none has set its variables")


def _whole(environment: Mapping[str, str], name: str) -> int:
    text = environment.get(name, "")
    if not re.fullmatch("[0-9]{1,9}", text, re.ASCII):
        raise SettingError(f"{name} must be a whole number for shard auto, got {text!r}")
    return int(text)
