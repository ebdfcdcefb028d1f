"""The runs of the loop for one batch of pictures: one, or with ``hires`` a second, larger one."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from sdloop.conditioning.encode import with_sizes
from sdloop.conditioning.value import Conditioning
from sdloop.errors import NonFiniteError, SettingError
from sdloop.guidance.losses.bound import loss_guidance_of
from sdloop.guidance.losses.checkpointing import GradientCheckpointed
from sdloop.guidance.perturbed_attention import Perturbed, skipping, with_identity_attention
from sdloop.latents.noise import seeded_generators
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.guide import guided_by
from sdloop.pipeline.hires import enlarged_start
from sdloop.pipeline.initial_latents import Start, start
from sdloop.pipeline.input_images import EncodeInput
from sdloop.pipeline.own_code import NO_OWN_CODE, OwnCode
from sdloop.pipeline.steps import scheduled
from sdloop.pipeline.tiled_unet import Windows
from sdloop.recipe.guidance_scales import guidance_scales
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.stages import stages
from sdloop.schedulers.schedule import (
    Scheduler,
    has_finished,
    seed_brownian_noise,
    steps_of,
    unet_calls,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One run of the loop before it begins: ``set_steps`` has run for its scheduler."""

    batch: tuple[Recipe, ...]
    scheduler: Scheduler
    timesteps: Tensor
    sigmas: tuple[float, ...]
    guidance_scales: tuple[float, ...]


def sigmas_of_row(planned: Sequence[Stage], row: int) -> tuple[float, ...]:
    """The noise levels at which the UNet ran for the picture in a batch's ``row``."""
    runs = [stage.sigmas[: unet_calls(stage.scheduler, stage.timesteps, row)] for stage in planned]
    return tuple(itertools.chain.from_iterable(runs))


# From a scheduler, its timesteps and the generators of the pictures.
Begin = Callable[[Scheduler, Tensor, Sequence[Generator]], Start]


def stages_of(
    components: Components, batch: Sequence[Recipe], own: OwnCode = NO_OWN_CODE
) -> list[Stage]:
    """The stages of a batch, whose Recipes are equal in all that decides them.

    Raises ``SettingError`` for a guidance interval that contains none of the steps.
    """
    planned = [
        _stage(components, recipes, own) for recipes in zip(*map(stages, batch), strict=True)
    ]
    interval = batch[0].guidance_interval
    if interval is not None and all({1} == set(stage.guidance_scales) for stage in planned):
        sigmas = [sigma for stage in planned for sigma in stage.sigmas]
        raise SettingError(
            f"guidance_interval must hold the sigma of a step with guidance, got {interval}; they "
            f"go from {max(sigmas):.4g} to {min(sigmas):.4g}"
        )
    return planned


def _stage(components: Components, batch: tuple[Recipe, ...], own: OwnCode) -> Stage:
    recipe = batch[0]
    scheduler, timesteps, sigmas = own.scheduled(recipe) or scheduled(recipe, components)
    whole = steps_of(scheduler, scheduler.timesteps)
    places = [step / max(1, whole[-1]) for step in whole[-len(timesteps) :]]
    scales = guidance_scales(recipe, sigmas=sigmas, places=places)
    if components.embeds_guidance:  # each picture's own scale is in the conditioning
        scales = [1.0] * len(timesteps)
    return Stage(
        batch=batch,
        scheduler=scheduler,
        timesteps=timesteps,
        sigmas=tuple(sigmas),
        guidance_scales=tuple(scales),
    )


def run(
    components: Components,
    planned: Sequence[Stage],
    conditioning: Conditioning,
    *,
    encode_input: EncodeInput,
    own: OwnCode,
) -> Iterator[Step]:
    """The steps of all stages, counted as one run; the last one's latents are the pictures'.

    If a scheduler finishes early, the last step's ``total`` is smaller.

    The ``conditioning`` is the same for all stages, except for SDXL's sizes.

    Raises ``NonFiniteError`` with the step at which NaN or infinity appeared.
    """
    total = sum(len(stage.timesteps) for stage in planned)
    done = 0
    latents: Tensor | None = None
    for stage in planned:
        begin = _begin(components, stage, latents, encode_input)
        finite = []
        for step in _denoised(components, stage, conditioning, begin, own):
            latents = step.latents
            finite.append(latents.isfinite().all())
            index, ends = done + step.index, has_finished(stage.scheduler)
            last = ends and stage is planned[-1]
            yield replace(step, index=index, total=index + 1 if last else total)
            if ends:
                break
        _check_finite(finite, done, total, components.dtype)
        done += len(stage.timesteps)


def first_steps(
    components: Components,
    planned: Sequence[Stage],
    conditioning: Conditioning,
    *,
    encode_input: EncodeInput,
    own: OwnCode,
) -> None:
    """Only the first step of each stage, with all rows that its guidance ever has.

    So each stage runs its largest forward pass, whose memory can be measured.
    """
    latents: Tensor | None = None
    for stage in planned:
        most = max(stage.guidance_scales, key=lambda scale: scale != 1)
        guided = replace(stage, guidance_scales=(most,) * len(stage.guidance_scales))
        begin = _begin(components, stage, latents, encode_input)
        steps = _denoised(components, guided, conditioning, begin, own)
        latents = torch.zeros_like(next(steps).latents)


def _begin(
    components: Components, stage: Stage, latents: Tensor | None, encode_input: EncodeInput
) -> Begin:
    """How a stage starts; ``latents`` are those of the stage before."""
    if latents is not None:
        return partial(enlarged_start, components, stage.batch, latents)
    return partial(start, components, stage.batch, encode_input=encode_input)


def _denoised(
    components: Components,
    stage: Stage,
    conditioning: Conditioning,
    begin: Begin,
    own: OwnCode,
) -> Iterator[Step]:
    """Run the loop for one stage."""
    recipe = stage.batch[0]  # all of a batch are equal in the fields that are used here
    seeds = [one.seed for one in stage.batch]
    generators = seeded_generators(seeds)
    begun = begin(stage.scheduler, stage.timesteps, generators)
    seed_brownian_noise(stage.scheduler, begun.latents, seeds)
    guide, scheduler = guided_by(recipe, stage.scheduler)
    return own.denoised(
        _unet(components, recipe, len(stage.batch), conditioning.weights),
        scheduler,
        begun.latents,
        begun.with_extra_channels(with_sizes(components, conditioning, stage.batch)),
        timesteps=stage.timesteps,
        sigmas=stage.sigmas,
        guidance_scale=stage.guidance_scales,
        guide=guide,
        eta=recipe.eta,
        generators=generators,
        masked=begun.masked,
        loss_guidance=loss_guidance_of(components, stage.batch, recipe.size),
    )


def _unet(components: Components, recipe: Recipe, pictures: int, weights: Tensor | None) -> Any:
    """The UNet: in tiles if the Recipe has them, and with its weakened copies for PAG and SLG.

    If a loss needs the exact gradient, all of them support it.
    """
    unet, weakened = components.unet, []
    if recipe.pag_scale and recipe.pag_layers is not None:
        weakened.append((with_identity_attention(unet, recipe.pag_layers), recipe.pag_scale))
    if recipe.slg_scale and recipe.slg_layers is not None:
        weakened.append((skipping(unet, recipe.slg_layers), recipe.slg_scale))

    def windowed(one: Any) -> Any:
        one = GradientCheckpointed(unet=one) if recipe.loss_mode == "exact" else one
        side = None if recipe.tile is None else recipe.tile // components.vae_factor
        return Windows(unet=one, side=side) if side else one

    if not weakened:
        return windowed(unet)
    twins = [(windowed(twin), scale) for twin, scale in weakened]
    return Perturbed(unet=windowed(unet), worse=twins, pictures=pictures, weights=weights)


def _check_finite(finite: Sequence[Tensor], done: int, total: int, dtype: torch.dtype) -> None:
    """Check all steps at once, at the end: a check at every step would make a GPU wait."""
    for index, flag in enumerate(torch.stack(tuple(finite)).tolist(), start=done + 1):
        if not flag:
            half = dtype != torch.float32
            raise NonFiniteError(
                f"the latents are NaN or infinity after step {index} of {total} "
                f"in {str(dtype).removeprefix('torch.')}; remedy: "
                f"{'dtype fp32' if half else 'a lower guidance_scale'} or another scheduler"
            )
