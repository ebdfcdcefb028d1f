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
from collections.abc import Callable
from dataclasses import replace
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

import sdloop
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.compiled import check_compiler, compile_module
from sdloop.models.components.shell import shell

sys.path.insert(0, str(Path(__file__).parent))  # also when something else imports this file
from random_sd15 import create

PROMPT, NEGATIVE, SEED, SCALE = "a frog in a park", "a red house", 4, 7.5
BASE = "diffusers fp32"
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Make = Callable[[], object]


def now() -> float:
    if DEVICE == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def of_sdloop(
    folder: Path,
    steps: int,
    dtype: str,
    loaded: dict[str, sdloop.Components],
    *,
    compile: str = "off",
    reuse: int = 1,
) -> Make:
    """Compiled copies share their weights, so that all fit into the memory."""
    if dtype not in loaded:
        loaded[dtype] = sdloop.load_components(str(folder), device=DEVICE, dtype=dtype)
    components = loaded[dtype]
    if compile != "off":
        check_compiler()
        unet = compile_module(shell(components.unet), compile, components.device)
        components = replace(components, unet=unet, compile=compile)
    recipe = sdloop.Recipe(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        seed=SEED,
        guidance_scale=SCALE,
        steps=steps,
        scheduler="euler",
        reuse=reuse,
    )
    return lambda: sdloop.generate(components, recipe)


def of_diffusers(folder: Path, steps: int, dtype: str) -> Make:
    pipe = pipeline(folder, dtype)
    return partial(_piped, pipe, steps, torch.Generator().manual_seed(SEED))


def pipeline(folder: Path, dtype: str) -> Any:
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, dtype=DTYPES[dtype], safety_checker=None, requires_safety_checker=False
    ).to(DEVICE)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _piped(pipe: Any, steps: int, generator: torch.Generator) -> object:
    return pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=steps,
        guidance_scale=SCALE,
        generator=generator,
    )


def native_size(folder: Path) -> tuple[int, int]:
    return find_checkpoint(str(folder)).native_size


def entrants(folder: Path, steps: int) -> dict[str, Callable[[], Make]]:
    """Each program's name, and what loads it."""
    found: dict[str, Callable[[], Make]] = {}
    loaded: dict[str, sdloop.Components] = {}
    for dtype in DTYPES:
        found[f"diffusers {dtype}"] = partial(of_diffusers, folder, steps, dtype)
        own = partial(of_sdloop, folder, steps, dtype, loaded)
        found[f"sdloop {dtype}"] = own
        found[f"sdloop {dtype}, reuse 2"] = partial(own, reuse=2)
        for compile in ("regional", "whole"):
            found[f"sdloop {dtype}, compile {compile}"] = partial(own, compile=compile)
    return found


def ready(folder: Path, steps: int, only: str) -> dict[str, Make]:
    """The programs that are asked for, each after its first picture."""
    made: dict[str, Make] = {}
    for name, load in entrants(folder, steps).items():
        if name != BASE and not any(fnmatch(name, pattern) for pattern in only.split(",")):
            continue
        make = load()
        started = now()
        make()
        print(f"{name}: first picture after {now() - started:.1f} s", flush=True)
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
