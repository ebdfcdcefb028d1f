"""Use your own loop in sdloop's pipeline: Heun's method, written by hand.

python examples/own_loop.py "a green frog in a park" frog.png
"""

import sys
from itertools import pairwise

import torch
from samplers.by_hand import heun

import sdloop
from sdloop.guidance.guiders import Noisy
from sdloop.schedulers.prediction import predict_denoised


@torch.no_grad()
def heuns_loop(unet, scheduler, latents, conditioning, *, timesteps, sigmas, guidance_scale, guide):
    """Yield each step. A Recipe that needs another parameter, such as a mask, is refused."""
    prompts = conditioning.unet_inputs(guided=True)
    timestep_at = dict(zip(sigmas, timesteps, strict=True))
    for index, (sigma, sigma_next) in enumerate(pairwise([*sigmas, 0.0])):
        seen = []

        def denoise(x, at, scale=guidance_scale[index], seen=seen):
            scaled = x / (1 + at**2) ** 0.5
            twice = torch.cat([scaled, scaled]).to(unet.dtype)
            both = unet(twice, timestep_at[at], **prompts, return_dict=False)[0]
            uncond, text = both.float().chunk(2)
            noise_pred = guide(uncond, text, scale, Noisy(scaled, at))
            seen.append(predict_denoised(scaled, noise_pred, at, scheduler.config.prediction_type))
            return seen[-1]

        latents = heun(denoise, latents, [sigma, sigma_next])
        yield sdloop.Step(index=index, total=len(sigmas), timestep=float(timesteps[index]),
                          sigma=sigma, latents=latents, denoised=seen[0])  # fmt: skip


if __name__ == "__main__":
    prompt, file = sys.argv[1:]
    picture = sdloop.generate(
        prompt, seed=4, steps=10, scheduler="euler", hires=1.5, denoise=heuns_loop
    )
    print(picture.save(file), "was made by", sdloop.read(file).record.own_code["denoise"])
