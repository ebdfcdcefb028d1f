"""``sdloop bench loop``: times on this machine, as ratios that other load hardly changes."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from sdloop.cli.options.bench import BenchOptions
from sdloop.cli.options.fields import options, own
from sdloop.cli.options.groups import with_options
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import SdloopError
from sdloop.rules import check_whole

_PROMPT = "a frog in a park"
_COLD, _SHORT = 3, 7  # numbers of calls; the median is reported


@dataclass(frozen=True, kw_only=True, slots=True)
class _Place:
    """A temporary folder for pictures, and a runtime folder for one worker."""

    folder: Path
    model: str
    steps: int

    def run(self, *arguments: str, worker: str) -> float:
        """How many seconds a command takes."""
        return self.timed([sys.executable, "-m", "sdloop", *arguments, "-q"], worker=worker)

    def timed(self, command: Sequence[str], *, worker: str = "never") -> float:
        own = {"XDG_RUNTIME_DIR": str(self.folder), "SDLOOP_WORKER": worker}
        started = time.perf_counter()
        done = subprocess.run(
            command,
            env={**os.environ, **own, "HF_HUB_OFFLINE": "1"},
            cwd=self.folder,
            capture_output=True,
            text=True,
            check=False,
        )
        seconds = time.perf_counter() - started
        if done.returncode:
            raise SdloopError(f"{' '.join(command)} failed: {done.stderr.strip()}")
        return seconds

    def call(self, seed: int, *, worker: str, steps: int | None = None) -> float:
        count = self.steps if steps is None else steps
        flags = ["--seed", str(seed), "--steps", str(count), "-m", self.model]
        return self.run("txt2img", _PROMPT, *flags, "--overwrite", worker=worker)


@options(panel="Options")
class LoopOptions(BenchOptions):
    """What is called, and how often."""

    calls: int = own("Calls in the shell loop, and pictures in the batch.", metavar="N", default=50)
    steps: int = own("Steps per picture.", metavar="N", default=25)


@with_options
def loop(*, how: LoopOptions) -> None:
    """Compare a shell loop with one batch, and a call to a warm worker with a cold start.

    Example:
      sdloop bench loop --calls 50
    """
    check_whole("calls", how.calls, 2, 10_000)
    check_whole("steps", how.steps, 1, 1000)
    with _place(how.model, how.steps) as place:
        found = _measured(place, how.calls)
    if how.json:
        emit(json.dumps({name: round(value, 4) for name, value in found.items()}))
        return
    for name, value in found.items():
        unit = "" if name.startswith("ratio") else " s"
        emit(f"{name.replace('_', ' '):40} {value:8.3f}{unit}")


def _measured(place: _Place, calls: int) -> dict[str, float]:
    say("cold calls")
    cold = median(place.call(seed, worker="never") for seed in range(_COLD))
    place.call(0, worker="always")  # which starts the worker
    place.call(1, worker="always")
    say(f"a shell loop of {calls}, and a batch of {calls}, alternating")
    warm, batch = 0.0, 0.0
    # A machine's speed may change within minutes: halves in turn make both see the same changes.
    for half in range(2):
        seeds = range(half * calls // 2, (half + 1) * calls // 2)
        warm += sum(place.call(seed, worker="always") for seed in seeds)
        batch += _batch(place, seeds)
    say("calls of a single step, and Python alone")
    around = median(place.call(seed, worker="always", steps=1) for seed in range(_SHORT))
    python = median(place.timed([sys.executable, "-c", "pass"]) for _ in range(_SHORT))
    found = {
        "cold_call": cold,
        "warm_call": warm / calls,
        "picture_of_the_batch": batch / calls,
        "warm_call_of_one_step": around,
        "bare_python": python,
        "ratio_shell_loop_to_warm_batch": warm / batch,
        "ratio_shell_loop_to_cold_batch": warm / (batch + cold - warm / calls),
        "ratio_cold_to_warm_call": cold * calls / warm,
    }
    return found | _diffusers(place, warm / calls)


def _batch(place: _Place, seeds: range) -> float:
    flags = ["--seed", f"{seeds[0]}..{seeds[-1]}", "--steps", str(place.steps), "-m", place.model]
    return place.run("batch", _PROMPT, *flags, "--outdir", "batch", "--redo", worker="always")


def _diffusers(place: _Place, warm: float) -> dict[str, float]:
    """The time of diffusers' own command line, if the model is a folder or a hub id."""
    program = Path(sys.executable).with_name("diffusers-cli")
    if not program.exists() or place.model.endswith(".safetensors"):
        return {}
    model = place.model
    if model == "mini":
        from sdloop.models.checkpoint.find import find_checkpoint

        model = str(find_checkpoint("mini").path)
    settings: dict[str, Any] = {"prompt": _PROMPT, "num_inference_steps": place.steps}
    command = [str(program), "run", "-m", model, "--seed", "4"]
    command += ["--pipeline-kwargs", json.dumps(settings), "--device-map", "cpu"]
    seconds = median(place.timed(command) for _ in range(_COLD))
    return {"call_of_diffusers_cli": seconds, "ratio_diffusers_cli_to_warm_call": seconds / warm}


@contextmanager
def _place(model: str, steps: int) -> Iterator[_Place]:
    import tempfile

    folder = Path(tempfile.mkdtemp(prefix="sdloop-bench-"))
    where = Path(model)
    place = _Place(
        folder=folder, model=str(where.absolute()) if where.exists() else model, steps=steps
    )
    try:
        yield place
    finally:
        place.timed([sys.executable, "-m", "sdloop", "worker", "stop"])
        shutil.rmtree(folder, ignore_errors=True)
