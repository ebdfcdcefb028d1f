"""The sampling loop: the file that sdloop is about.

``denoise`` is the loop that every Stable Diffusion tutorial shows, written as a generator. Progress
bars, previews, early stopping and cancelling consume its steps. To change the result, write into
``step.latents`` (in place) before asking for the next step, which starts from there. The exception
is schedulers that remember latents themselves (Heun and DPM2 within a pair of steps, PNDM at
first, UniPC's corrector). Or copy these lines, change them, and pass your loop to ``generate`` as
``denoise=``.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor

from sdloop.conditioning.value import Conditioning
from sdloop.guidance.formulas import composed, in_regions
from sdloop.guidance.guiders import Guide, Noisy, plain
from sdloop.guidance.losses.loss_guidance import LossGuidance
from sdloop.latents.mask import MaskedLatents
from sdloop.latents.regions import Regions
from sdloop.schedulers.schedule import Scheduler, denoised_latents, step_options, steps_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One iteration of the loop.

    ``index`` counts from 0 to ``total - 1``. ``timestep`` and ``sigma`` are the noise level that
    the UNet ran at. ``latents``, of shape (batch, channels, height, width), are the result of the
    scheduler's step, from which the next iteration starts; ``denoised`` are the latents of the
    clean picture that the UNet predicts at this step.
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
    regions: Regions | None = None,
    masked: MaskedLatents | None = None,
    loss_guidance: LossGuidance | None = None,
) -> Iterator[Step]:
    """Turn noise into latents of a picture, one scheduler step at a time.

    ``latents`` start as noise times ``scheduler.init_noise_sigma``, float32, on the UNet's device.
    ``timesteps`` and ``sigmas`` come from ``schedule.set_steps``. ``generators``, one per picture,
    are for schedulers that add noise at each step. ``guidance_scale`` is one number, or one per
    iteration: at 1 the UNet runs only on the prompt, otherwise also on the negative prompt, and on
    each prompt if several are combined. ``guide`` combines the two predictions into one:
    classifier-free guidance, or another of ``guiders``. ``regions`` say where each
    prompt counts. ``masked`` holds what inpainting keeps of a picture, and ``loss_guidance`` moves
    the latents to reduce a loss.

    The latents are float32 even in half precision: otherwise rounding errors would add up.
    """
    if isinstance(guidance_scale, int | float):
        guidance_scale = [guidance_scale] * len(timesteps)
    guided = [scale != 1 for scale in guidance_scale]
    steps = steps_of(scheduler, timesteps)
    prompts = conditioning.over(steps, guided=guided)
    options = step_options(scheduler, eta, generators)
    unet_timesteps = timesteps.to(latents.device, torch.float32)  # as the UNet reads them
    unet_dtype = unet.dtype  # asked once, because diffusers looks through all modules for it
    with_loss = frozenset() if loss_guidance is None else loss_guidance.iterations(steps, sigmas)
    exact = loss_guidance is not None and loss_guidance.exact

    iterations = zip(timesteps, sigmas, guidance_scale, prompts, strict=True)
    for index, (t, sigma, scale, prompt) in enumerate(iterations):
        # Exact loss guidance needs the gradient of the UNet; nothing else needs one.
        latents = latents.detach().requires_grad_(exact and index in with_loss)

        # Scale the latents to what the UNet was trained on.
        latent_input = scheduler.scale_model_input(latents, t)

        # Predict the noise; with guidance also for the negative prompt, whose rows come first.
        rows = len(prompt["encoder_hidden_states"]) // len(latents)
        unet_input = conditioning.with_extra_channels(latent_input)
        unet_input = torch.cat([unet_input] * rows).to(unet_dtype)
        if regions is not None:
            unet_input = regions.seen(unet_input, sigma)
        with torch.set_grad_enabled(latents.requires_grad):
            noise_pred = unet(unet_input, unet_timesteps[index], **prompt, return_dict=False)[0]
        noise_pred = noise_pred.to(latents.dtype)

        # Combine the predictions for several prompts, and guide the result.
        if rows > 1:
            noise_preds = noise_pred.chunk(rows)
            first, last = rows - conditioning.prompts, rows - conditioning.regions
            noise_pred = composed(noise_preds[0], noise_preds[first:last], conditioning.weights)
            if regions is not None:
                noise_pred = in_regions(noise_pred, noise_preds[last:], regions.shares)
            if first:  # the one before is the negative prompt's
                noise_pred = guide(noise_preds[0], noise_pred, scale, Noisy(latent_input, sigma))

        # Predict the clean picture.
        denoised = denoised_latents(scheduler, latents, latent_input, noise_pred, sigma)

        # Move the latents to where the picture has less of the loss.
        if loss_guidance is not None and index in with_loss:
            latents, noise_pred, denoised = loss_guidance(
                latents, noise_pred, denoised, scheduler, sigma
            )

        # Take a step: x_t -> x_t-1.
        latents = scheduler.step(noise_pred, t, latents, **options, return_dict=False)[0]

        # Outside a mask put the picture back, as noisy as the next step expects it.
        if masked is not None:
            latents = masked.put_back(latents, scheduler, timesteps[index + 1 : index + 2])

        yield Step(
            index=index, total=len(timesteps), timestep=t.item(), sigma=sigma,
            latents=latents, denoised=denoised,
        )  # fmt: skip
