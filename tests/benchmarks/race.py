"""Race sdloop against other programs: the same weights, prompt, size, steps and sampler.

    python tests/benchmarks/race.py /tmp/sd15                   # creates random weights first
    python tests/benchmarks/race.py sdloop/mini --steps 10      # another model, at its own size
    python tests/benchmarks/race.py /tmp/sd15 --only 'sdloop*fp32*,diffusers*'

The programs take turns, and each round gives a ratio to diffusers in fp32: more than 1 is faster.
On a CPU all run on one thread, and processor time is measured, which other load hardly changes; on
a GPU it is the time on the clock. The first picture of each is not measured: code is compiled and
kernels are chosen.
"""

import argparse
import os
import statistics
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))  # also when something else imports this file
from entrants import DEVICE, Make, entrants, native_size, why_without_openvino
from random_sd15 import create

BASE = "diffusers fp32"


def now() -> float:
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def ready(folder: Path, steps: int, only: str) -> dict[str, Make]:
    """The programs that are asked for, each after its first picture: how far its pixels are from
    those of diffusers in fp32 shows whether they do the same."""
    made: dict[str, Make] = {}
    base = None
    for name, load in entrants(folder, steps).items():
        if name != BASE and not any(fnmatch(name, pattern) for pattern in only.split(",")):
            continue
        make = load()
        started = now()
        pixels = np.asarray(make(), dtype=np.int16)
        after, base = now() - started, pixels if base is None else base
        off = np.abs(pixels - base).max()
        print(f"{name}: first picture after {after:.1f} s, at most {off} levels off", flush=True)
        made[name] = make
    return made


def seconds(make: Make) -> float:
    started = now()
    make()
    return now() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="a model of SD 1, or where to create one")
    parser.add_argument("--steps", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="*", help="names or patterns, separated by commas")
    options = parser.parse_args()
    if not options.folder.exists():
        create(options.folder)
    torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    if reason := why_without_openvino():
        print(f"without OpenVINO: {reason}")
    makers = ready(options.folder, options.steps, options.only)
    times: dict[str, list[float]] = {name: [] for name in makers}
    for number in range(options.rounds):
        for name, make in makers.items():
            times[name].append(seconds(make))
        taken = ", ".join(f"{name} {own[-1]:.3g} s" for name, own in times.items())
        print(f"round {number + 1}: {taken}", flush=True)
    width, height = native_size(options.folder)
    print(f"{width}x{height}, {options.steps} steps on {DEVICE}: {BASE} = 1, more is faster")
    for name, own in times.items():
        ratios = [base / one for base, one in zip(times[BASE], own, strict=True)]
        spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
        typical = f"{statistics.median(own):.3g} s"
        print(f"{name:30} {statistics.median(ratios):.2f} ({spread}), {typical}")


if __name__ == "__main__":
    main()
