"""sdloop bench: a shell loop compared with a batch, speed, and predicted memory."""

import json

import pytest
from typer.testing import CliRunner

from sdloop.cli import app


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        (["--calls", "1"], "calls must be at least 2, got 1"),
        (["--steps", "0"], "steps must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused(flags: list[str], complaint: str) -> None:
    result = CliRunner().invoke(app, ["bench", "loop", *flags])
    assert result.exit_code == 2
    assert complaint in result.stderr


def test_the_memory_of_a_model_is_predicted() -> None:
    command = ["bench", "memory", "-m", "mini", "--size", "64x64"]
    result = CliRunner().invoke(app, [*command, "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["size"] == [64, 64]
    for peaks in found["bytes"].values():
        assert peaks["full"] > peaks["low"] > peaks["lowest"]
    assert found["bytes"]["fp32"]["full"] > found["bytes"]["bf16"]["full"]
    assert found["bytes"]["bf16"]["full"] > found["bytes"]["fp8"]["full"]
    lines = CliRunner().invoke(app, command).stdout.splitlines()
    assert lines[0].split()[::2] == ["--dtype", "full", "low", "lowest"]
    assert [line.split()[0] for line in lines[1:]] == ["fp32", "bf16", "fp8"]


def test_so_is_that_of_a_run_with_other_parts() -> None:
    command = ["bench", "memory", "--size", "64x64", "--json"]
    plain, followed = (
        json.loads(CliRunner().invoke(app, [*command, *more]).stdout)["bytes"]
        for more in ([], ["--control", "edges"])
    )
    for dtype, peaks in plain.items():
        assert followed[dtype]["full"] > peaks["full"]


def test_a_size_to_predict_must_suit_the_model() -> None:
    result = CliRunner().invoke(app, ["bench", "memory", "--size", "62x64"])
    assert result.exit_code == 2
    assert "size must be a multiple of 8 for this model, got 62" in result.stderr


@pytest.mark.slow
def test_a_shell_loop_is_as_fast_as_a_batch() -> None:
    result = CliRunner().invoke(app, ["bench", "loop", "--calls", "20", "--json"])
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["ratio_shell_loop_to_cold_batch"] < 1.15
    assert found["ratio_shell_loop_to_warm_batch"] < 1.5
    assert found["ratio_cold_to_warm_call"] > 3
    assert found["warm_call_of_one_step"] < 0.1 * found["cold_call"]
