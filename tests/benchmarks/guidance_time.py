"""Measure the time that guidance costs, and the time that a guidance interval saves.

    python tests/benchmarks/guidance_time.py          # the mini model, 25 steps
    python tests/benchmarks/guidance_time.py --sd15   # an SD1.5-shaped random UNet at 256x256

Times are relative to the run with guidance at every step. On a CPU, processor time is measured
and not wall time, because it is reliable on a busy machine. The last column is the expected time if
the UNet's time were proportional to the number of rows in its batch.
"""

import argparse
import statistics
import time
from dataclasses import replace
from typing import Any

import torch
from diffusers import UNet2DConditionModel

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.conditioning.value import Conditioning
from sdloop.guidance.perturbed_attention import Perturbed, with_identity_attention
from sdloop.latents.noise import noise, seeded_generators
from sdloop.pipeline.guide import guided_by
from sdloop.recipe.guidance_scales import guidance_scales
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.schedule import make_scheduler, set_steps

CASES: dict[str, dict[str, Any]] = {
    "every step": {},
    "sigma 0.28..5.42": {"guidance_interval": "0.28..5.42"},
    "sigma 0.28..2": {"guidance_interval": "0.28..2"},
    "off": {"guidance_scale": 1.0},
    "apg": {"guidance": "apg"},
    "threshold": {"guidance": "threshold"},
    "cfg-zero": {"guidance": "cfg-zero"},
    "cfg++": {"guidance": "cfg++", "guidance_scale": 0.6},
    "pag": {"pag_scale": 3.0},
}


def now() -> float:
    if not torch.cuda.is_available():
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def seconds(
    unet: Any, conditioning: Conditioning, components: sdloop.Components, wanted: Recipe, side: int
) -> tuple[float, int]:
    """One run of the loop, and how many rows the UNet has seen in it."""
    recipe = resolve(wanted, components)
    scheduler = make_scheduler(components.scheduler_config, scheduler="euler")
    timesteps, sigmas = set_steps(scheduler, recipe.steps)
    scales = guidance_scales(recipe, sigmas=sigmas, places=[0.0] * len(sigmas))
    latents = noise(seeded_generators([4]), 4, side, side).to(unet.device)
    latents = latents * scheduler.init_noise_sigma
    rows = sum(1 if scale == 1 else 2 for scale in scales)
    seen: Any = unet
    if recipe.pag_scale:
        seen = Perturbed(unet=unet, worse=[(with_identity_attention(unet, "mid"), 3.0)], pictures=1)
        rows += len(scales)
    guide, scheduler = guided_by(recipe, scheduler)
    started = now()
    for _ in sdloop.denoise(
        seen, scheduler, latents, conditioning, timesteps=timesteps, sigmas=sigmas,
        guidance_scale=scales, guide=guide,
    ):  # fmt: skip
        pass
    return now() - started, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sd15", action="store_true", help="an SD1.5-shaped UNet at 256x256")
    parser.add_argument("--steps", type=int)
    parser.add_argument("--cases", nargs="*", choices=[*CASES], default=[*CASES])
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    components = sdloop.load_components(device=device)
    wanted = Recipe(prompt="a red frog in a park", seed=4, guidance_scale=4.0, scheduler="euler")
    conditioning = condition(components, resolve(wanted, components))
    unet, steps, side = components.unet, 25, components.unet.config.sample_size
    if options.sd15:
        unet, steps, side = UNet2DConditionModel(cross_attention_dim=768).to(device).eval(), 8, 32
        embeds = torch.randn(1, 77, 768).to(device)
        conditioning = Conditioning(prompt_embeds=embeds, negative_prompt_embeds=embeds)
    wanted = replace(wanted, steps=options.steps or steps)
    cases = {name: CASES[name] for name in dict.fromkeys(["every step", *options.cases])}
    times: dict[str, list[float]] = {name: [] for name in cases}
    rows: dict[str, int] = {}
    for repeat in range(-1, options.repeats):  # the first warms up
        for name, settings in cases.items():
            one = replace(wanted, **settings)
            taken, rows[name] = seconds(unet, conditioning, components, one, side)
            if repeat >= 0:
                times[name].append(taken)
    whole = times["every step"]
    print(f"on {device}, {wanted.steps} steps, {statistics.median(whole):.3f} s with guidance")
    for name, taken in times.items():
        shares = [one / other for one, other in zip(taken, whole, strict=True)]
        expected = rows[name] / rows["every step"]
        print(f"{name:18} {statistics.median(shares):.3f}  {expected:.3f}")


if __name__ == "__main__":
    main()
