"""``--shard auto`` in array jobs, from the variables that their programs set."""

import pytest

from sdloop.batch.shards import parse_shard
from sdloop.errors import SettingError


def slurm(number: int, count: int, first: int, step: int) -> dict[str, str]:
    return {
        "SLURM_ARRAY_TASK_ID": str(number),
        "SLURM_ARRAY_TASK_COUNT": str(count),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_STEP": str(step),
    }


@pytest.mark.parametrize(
    ("environment", "part"),
    [
        (slurm(0, 4, 0, 1), (1, 4)),  # --array=0-3
        (slurm(4, 4, 1, 1), (4, 4)),  # --array=1-4%2
        (slurm(14, 3, 10, 2), (3, 3)),  # --array=10-14:2
        ({"AWS_BATCH_JOB_ARRAY_INDEX": "0", "AWS_BATCH_JOB_ARRAY_SIZE": "8"}, (1, 8)),
        ({"JOB_COMPLETION_INDEX": "7", "JOB_COMPLETIONS": "8"}, (8, 8)),
        ({"SKYPILOT_NODE_RANK": "1", "SKYPILOT_NUM_NODES": "2"}, (2, 2)),
    ],
)
def test_auto(environment: dict[str, str], part: tuple[int, int]) -> None:
    assert parse_shard("auto", environment) == part


@pytest.mark.parametrize(
    ("environment", "told"),
    [
        ({}, "needs an array job of Slurm, AWS Batch, Kubernetes, SkyPilot"),
        ({"JOB_COMPLETION_INDEX": "7"}, "needs JOB_COMPLETIONS beside JOB_COMPLETION_INDEX"),
        ({"JOB_COMPLETION_INDEX": "8", "JOB_COMPLETIONS": "8"}, "numbers without gaps"),
        (slurm(7, 3, 1, 1), "numbers without gaps"),  # --array=1,3,7
        (slurm(3, 2, 0, 2), "numbers without gaps"),
        ({"SLURM_ARRAY_TASK_ID": "x", "SLURM_ARRAY_TASK_COUNT": "4"}, "must be a whole number"),
    ],
)
def test_auto_is_refused(environment: dict[str, str], told: str) -> None:
    with pytest.raises(SettingError, match=told):
        parse_shard("auto", environment)


@pytest.mark.parametrize("text", ["0/4", "5/4", "3", "", "1/0", "Auto"])
def test_what_is_no_part(text: str) -> None:
    with pytest.raises(SettingError, match="must be like 3/8, from 1/8 to 8/8, or auto"):
        parse_shard(text, {})
