"""The sampling loop: the file that sdloop is about.

``denoise`` is the loop that people learn Stable Diffusion by, as a generator. Progress bars,
previews, early stopping and cancelling are its consumers. To change its course, write into
``step.latents`` (in place) before asking for the next step: the next one starts from there, except
with schedulers that remember latents themselves (Heun and DPM2 within a pair of steps, PNDM at
first, UniPC's corrector). Or copy these lines and change them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.guidance.formulas import composed
from sdloop.guidance.guiders import Guide, plain
from sdloop.guidance.losses.pull import Pull
from sdloop.latents.mask import Kept
from sdloop.schedulers.schedule import Scheduler, denoised_latents, step_options, steps_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One turn of the loop.

    ``index`` counts from 0 to ``total - 1``. ``timestep`` and ``sigma`` are the noise level that
    the UNet looked at. ``latents``, of shape (batch, channels, height, width), are what the
    scheduler made of it and what the next turn starts from; ``denoised`` is the clean picture's
    latents as the UNet sees them now.
    """

    index: int
    total: int
    timestep: float
    sigma: float
    latents: Tensor
    denoised: Tensor


def denoise(
    unet: Any,
    scheduler: Scheduler,
    latents: Tensor,
    conditioning: Conditioning,
    *,
    timesteps: Tensor,
    sigmas: Sequence[float],
    guidance_scale: float | Sequence[float] = 7.5,
    guide: Guide = plain,
    eta: float = 0.0,
    generators: Sequence[Generator] = (),
    kept: Kept | None = None,
    pull: Pull | None = None,
) -> Iterator[Step]:
    """Turn noise into latents of a picture, one scheduler step at a time.

    ``latents`` start as noise times ``scheduler.init_noise_sigma``, float32, on the UNet's device.
    ``timesteps`` and ``sigmas`` come from ``schedule.set_steps``. ``generators``, one for each
    picture, feed the schedulers that draw noise on the way. ``guidance_scale`` is one for all
    turns, or one for each: at 1 the UNet runs on the prompt alone, else on the unconditional twin
    beside it, and on each prompt where several are combined. ``guide`` makes one prediction of the
    two: classifier-free guidance, or what ``guiders`` has instead. ``kept`` is what stays of a
    picture that is painted only within a mask, and ``pull`` leads to pictures with less of a loss.

    The latents stay float32 in half precision too: a rounding error a step would add up.
    """
    if isinstance(guidance_scale, int | float):
        guidance_scale = [guidance_scale] * len(timesteps)
    guided = [scale != 1 for scale in guidance_scale]
    steps = steps_of(scheduler, timesteps)
    prompts = conditioning.over(steps, guided=guided)
    options = step_options(scheduler, eta, generators)
    unet_timesteps = timesteps.to(latents.device, torch.float32)  # as the UNet reads them
    pulled = frozenset() if pull is None else pull.turns(steps, sigmas)
    exact = pull is not None and pull.exact

    turns = zip(timesteps, sigmas, guidance_scale, prompts, strict=True)
    for index, (t, sigma, scale, prompt) in enumerate(turns):
        # Where a loss pulls through the UNet, a gradient leads back to the latents, else nowhere.
        latents = latents.detach().requires_grad_(exact and index in pulled)

        # Scale the latents to what the UNet was trained on.
        latent_input = scheduler.scale_model_input(latents, t)

        # Predict the noise: with guidance for the unconditional twin too, in the row before.
        rows = len(prompt["encoder_hidden_states"]) // len(latents)
        unet_input = torch.cat([conditioning.beside(latent_input)] * rows).to(unet.dtype)
        with torch.set_grad_enabled(latents.requires_grad):
            noise_pred = unet(unet_input, unet_timesteps[index], **prompt, return_dict=False)[0]
        noise_pred = noise_pred.to(latents.dtype)

        # Guide it.
        if rows > 1:
            noise_uncond, *noise_texts = noise_pred.chunk(rows)
            noise_text = composed(noise_uncond, noise_texts, conditioning.weights)
            noise_pred = guide(
                noise_uncond, noise_text, scale, latent_input=latent_input, sigma=sigma
            )

        # What the UNet takes the clean picture to be.
        denoised = denoised_latents(scheduler, latents, latent_input, noise_pred, sigma)

        # Pull the latents to where the picture has less of the loss.
        if pull is not None and index in pulled:
            latents, noise_pred, denoised = pull(latents, noise_pred, denoised, scheduler, sigma)

        # Take a step: x_t -> x_t-1.
        latents = scheduler.step(noise_pred, t, latents, **options, return_dict=False)[0]

        # Outside a mask put the picture back, as noisy as the next step expects it.
        if kept is not None:
            latents = kept.put_back(latents, scheduler, timesteps[index + 1 : index + 2])

        yield Step(
            index=index, total=len(timesteps), timestep=t.item(), sigma=sigma,
            latents=latents, denoised=denoised,
        )  # fmt: skip
