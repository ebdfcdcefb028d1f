"""What the loop costs beside its UNet: wall time of ``denoise`` over that of bare forwards.

    python tests/benchmarks/loop_overhead.py          # the mini model, 25 steps
    python tests/benchmarks/loop_overhead.py --sd15   # an SD1.5-shaped random UNet at 256x256

Both are timed in turns within one run, and the median of the ratios is printed: these numbers mean
something on a noisy machine, absolute times do not.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DConditionModel

import sdloop
from sdloop.conditioning import Conditioning
from sdloop.latents import noise, seeded_generators
from sdloop.schedule import make_scheduler, set_steps

EULER = {"_class_name": "EulerDiscreteScheduler", "beta_schedule": "scaled_linear",
         "beta_start": 0.00085, "beta_end": 0.012}  # fmt: skip


def seconds(work: Callable[[], Any]) -> float:
    started = time.perf_counter()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter() - started


def overhead(unet: Any, side: int, steps: int, repeats: int) -> list[float]:
    """Ratios of loop to bare forwards, both guided (a batch of two) and on equal inputs."""
    width = unet.config.cross_attention_dim
    embeds = torch.randn(1, 77, width, device=unet.device, dtype=unet.dtype)
    conditioning = Conditioning(prompt_embeds=embeds, negative_prompt_embeds=embeds)
    doubled = torch.randn(2, 4, side, side, device=unet.device, dtype=unet.dtype)
    both = torch.cat([embeds] * 2)

    def loop() -> None:
        scheduler = make_scheduler(EULER)
        timesteps, sigmas = set_steps(scheduler, steps)
        generators = seeded_generators([4])
        latents = noise(generators, 4, side, side).to(unet.device) * scheduler.init_noise_sigma
        for _ in sdloop.denoise(
            unet, scheduler, latents, conditioning, timesteps=timesteps, sigmas=sigmas
        ):
            pass

    @torch.no_grad()
    def forwards() -> None:
        for _ in range(steps):
            unet(doubled, 500, encoder_hidden_states=both, return_dict=False)

    loop(), forwards()  # warm up
    return [seconds(loop) / seconds(forwards) for _ in range(repeats)]


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
    ratios = overhead(unet.eval(), side, options.steps or steps, options.repeats)
    spread = f"{min(ratios):.3f} to {max(ratios):.3f}"
    print(f"loop / bare forwards on {device}: {statistics.median(ratios):.3f} ({spread})")


if __name__ == "__main__":
    main()
