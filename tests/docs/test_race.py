"""The race of the docs' benchmarks takes place with the programs that are there."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

RACE = Path(__file__).parents[1] / "benchmarks" / "race.py"
MINI = Path(__file__).parents[2] / "sdloop" / "mini"
FLAGS = ["--steps", "1", "--rounds", "1", "--only", "sdloop fp32"]


def test_sdloop_makes_the_picture_of_diffusers_and_gets_a_ratio() -> None:
    done = subprocess.run(
        [sys.executable, str(RACE), str(MINI), *FLAGS],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE, check=True, text=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert [line for line in lines if line.startswith("sdloop") and "at most 0 levels off" in line]
    name, dtype, ratio, *_ = lines[-1].split()
    assert (name, dtype) == ("sdloop", "fp32")
    assert float(ratio) > 0.2


@pytest.mark.parametrize(
    ("device", "found", "reason"),
    [
        ("cpu", True, ""),
        ("cpu", False, "it is not installed"),
        ("cuda", True, "it is raced on CPUs only"),
    ],
)
def test_openvino_is_raced_where_it_is_installed(
    monkeypatch: pytest.MonkeyPatch, device: str, found: bool, reason: str
) -> None:
    monkeypatch.syspath_prepend(RACE.parent)
    entrants = importlib.import_module("entrants")
    monkeypatch.setattr(entrants, "DEVICE", device)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object() if found else None)
    assert entrants.why_without_openvino() == reason
    assert ("OpenVINO fp32" in entrants.entrants(MINI, 1)) == (not reason)
