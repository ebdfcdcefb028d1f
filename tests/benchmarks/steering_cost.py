"""Measure the time and memory of loss guidance, relative to the same picture without it.

    python tests/benchmarks/steering_cost.py          # the mini model, 25 steps
    python tests/benchmarks/steering_cost.py --sd15   # a step of SD1.5-shaped random parts, 256x256

Each variant is measured in its own process. On a CPU, the memory is the peak of the process, minus
its peak without loss guidance. The time is processor time: the median of several ratios within the
process.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import time
from dataclasses import replace

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

import sdloop
from sdloop.guidance.losses.checkpointing import GradientCheckpointed
from sdloop.models.components.load import Components

WAYS = {
    "none": {},
    "cheap": {"losses": ("blue=20",), "loss_mode": "cheap"},
    "exact": {"losses": ("blue=20",), "loss_mode": "exact"},
    "exact, all kept": {"losses": ("blue=20",), "loss_mode": "exact"},
}


def sd15() -> Components:
    """The shapes of SD1.5, with random weights, around the mini model's text encoder."""
    mini = sdloop.load_components(device="cpu")
    unet = UNet2DConditionModel(sample_size=32, cross_attention_dim=128, attention_head_dim=8)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512), layers_per_block=2, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4, up_block_types=("UpDecoderBlock2D",) * 4,
    )  # fmt: skip
    parts = {"unet": unet.eval().requires_grad_(False), "vae": vae.eval().requires_grad_(False)}
    return replace(mini, **parts, checkpoint=None)


def measure(way: str, *, large: bool, every: int, repeats: int) -> None:
    components = sd15() if large else sdloop.load_components(device="cpu")
    if way.endswith("all kept"):  # without checkpointing
        GradientCheckpointed.__call__ = lambda self, *args, **inputs: self.unet(*args, **inputs)  # type: ignore[method-assign]
    plain = sdloop.Recipe(prompt="a red house in a park", seed=4, steps=1 if large else 25)
    steered = replace(plain, **WAYS[way], **({"loss_every": every} if WAYS[way] else {}))
    sdloop.generate(components, plain)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    ratios = []
    for _ in range(repeats):
        started = time.process_time()
        sdloop.generate(components, plain)
        between = time.process_time()
        sdloop.generate(components, steered)
        ratios.append((time.process_time() - between) / (between - started))
    more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    print(
        f"{way}, every {every}: {statistics.median(ratios):.2f} times the time, "
        f"{more:.0f} MB more than {before / 1024:.0f}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sd15", action="store_true", help="SD1.5-shaped parts at 256x256")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--every", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.way is not None:
        measure(options.way, large=options.sd15, every=options.every, repeats=options.repeats)
        return
    for way in WAYS:
        for every in (1,) if options.sd15 else (5, 1):
            own = ["--way", way, "--every", str(every)]
            subprocess.run([sys.executable, *sys.argv, *own], check=True)


if __name__ == "__main__":
    main()
