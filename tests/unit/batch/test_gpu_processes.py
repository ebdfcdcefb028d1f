"""``--gpus``: what holds before the processes are forked."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdloop.batch.gpu_processes import devices_of
from sdloop.errors import SettingError

_UP_TO_THE_FORK = """
import sys
from sdloop.batch import gpu_processes

def fork(device, work):
    print(device, sorted({"torch", "numpy", "diffusers"} & set(sys.modules)), file=sys.stderr)
    sys.exit(7)

gpu_processes._fork = fork
from sdloop.__main__ import main
main()
"""


def test_nothing_heavy_is_imported_before_the_fork(tmp_path: Path, tiny_model: Path) -> None:
    """CUDA cannot be used in a process that was forked after torch had begun to use it."""
    arguments = ["batch", "a cat", "--seed", "1..2", "--gpus", "0,1", "-m", str(tiny_model)]
    done = subprocess.run(
        [sys.executable, "-c", _UP_TO_THE_FORK, *arguments],
        cwd=tmp_path, capture_output=True, text=True, env=os.environ,
    )  # fmt: skip
    assert done.returncode == 7, done.stderr
    assert "cuda:0 []" in done.stderr.splitlines()


def test_a_system_that_cannot_fork_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "fork")
    with pytest.raises(SettingError, match="gpus needs Linux or macOS, got all"):
        devices_of("all")
