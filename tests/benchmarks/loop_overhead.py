"""Measure the loop's overhead: its wall time divided by the time of its UNet forward passes.

    python tests/benchmarks/loop_overhead.py          # the mini model, 25 steps
    python tests/benchmarks/loop_overhead.py --sd15   # an SD1.5-shaped random UNet at 256x256

The forward passes are timed inside the loop, and the median of several ratios is printed: a ratio
is reliable on a busy machine, absolute times are not.
"""

import argparse
import statistics
import time
from typing import Any

import torch
from diffusers import UNet2DConditionModel

import sdloop
from sdloop.conditioning.value import Conditioning
from sdloop.latents.noise import noise, seeded_generators
from sdloop.schedulers.schedule import make_scheduler, set_steps

EULER = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear",
         "beta_start": 0.00085, "beta_end": 0.012}  # fmt: skip


class Timed:
    """A UNet that adds up the wall time of its own forwards."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.dtype = unet.dtype
        self.seconds = 0.0

    def __call__(self, *inputs: Any, **options: Any) -> Any:
        started = now()
        output = self.unet(*inputs, **options)
        self.seconds += now() - started
        return output


def now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def overhead(unet: Any, side: int, steps: int) -> float:
    """One run of the loop, guided: its wall time over that of its forwards."""
    embeds = torch.randn(1, 77, unet.config.cross_attention_dim).to(unet.device, unet.dtype)
    conditioning = Conditioning(prompt_embeds=embeds, negative_prompt_embeds=embeds)
    timed = Timed(unet)
    started = now()
    scheduler = make_scheduler(EULER)
    timesteps, sigmas = set_steps(scheduler, steps)
    latents = noise(seeded_generators([4]), 4, side, side).to(unet.device)
    latents *= scheduler.init_noise_sigma
    for _ in sdloop.denoise(
        timed, scheduler, latents, conditioning, timesteps=timesteps, sigmas=sigmas
    ):
        pass
    return (now() - started) / timed.seconds


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sd15", action="store_true", help="an SD1.5-shaped UNet at 256x256")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    if options.sd15:
        unet, side, steps = UNet2DConditionModel(cross_attention_dim=768).to(device), 32, 4
    else:
        unet, steps = sdloop.load_components(device=device).unet, 25
        side = unet.config.sample_size
    unet.eval()
    overhead(unet, side, 1)  # warm up
    ratios = [overhead(unet, side, options.steps or steps) for _ in range(options.repeats)]
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"loop / its UNet forwards on {device}: {statistics.median(ratios):.3f} ({spread})")


if __name__ == "__main__":
    main()
