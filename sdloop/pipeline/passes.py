"""The runs of the loop for one batch of pictures, one for each of its stages."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Generator, Tensor

from sdloop.conditioning.encode import with_sizes
from sdloop.conditioning.value import Conditioning
from sdloop.errors import NonFiniteError
from sdloop.guidance.control import Controlled
from sdloop.guidance.editing import Editing
from sdloop.guidance.losses.bound import loss_guidance_of
from sdloop.guidance.losses.checkpointing import GradientCheckpointed
from sdloop.guidance.perturbed_attention import Perturbed, skipping, with_identity_attention
from sdloop.guidance.reuse import reusing
from sdloop.latents.noise import seeded_generators
from sdloop.latents.regions import prompt_weights
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.control import adapter_features, check_acting, control_images
from sdloop.pipeline.guide import guided_by
from sdloop.pipeline.hires import enlarged_start
from sdloop.pipeline.image_prompts import image_masks
from sdloop.pipeline.initial_latents import Start, handed_over, start
from sdloop.pipeline.input_images import EncodeInput
from sdloop.pipeline.own_code import OwnCode
from sdloop.pipeline.readers import Readers
from sdloop.pipeline.regions import only_seen, regions_in
from sdloop.pipeline.stage import Stage
from sdloop.pipeline.step_noise import seed_step_noise
from sdloop.pipeline.tiled_unet import Windows
from sdloop.pipeline.upscaler import upscaler_of
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import has_finished, steps_of
from sdloop.schedulers.sending import Late, without_waits


def run(
    components: Components,
    planned: Sequence[Stage],
    conditionings: Sequence[Conditioning],
    *,
    readers: Readers,
    own: OwnCode,
) -> Iterator[Step]:
    """The steps of all stages, counted as one run; the last one's latents are the pictures'.

    If a scheduler finishes early, the last step's ``total`` is smaller.

    The ``conditionings`` are the model's and, if it has one, its refiner's; they are the same for
    all stages, except for SDXL's sizes. A stage that goes on draws on from the same generators,
    others draw anew.

    Raises ``NonFiniteError`` with the step at which NaN or infinity appeared.
    """
    total = sum(len(stage.timesteps) for stage in planned)
    check_acting(planned)
    upscaler_of(planned[-1].batch[0])  # a bad file must not cost the first stage
    done = 0
    latents: Tensor | None = None
    begun: Start | None = None
    generators: list[Generator] = []
    for stage, before in zip(planned, (None, *planned), strict=False):
        if not stage.goes_on:
            generators = _generators(stage)
        without_waits(stage.scheduler, components.device)
        begun = _begun(components, stage, begun, latents, generators, readers.encode_input)
        if not stage.goes_on:
            generators = _step_generators(stage, generators)
        conditioning = conditionings[-1 if stage.refines else 0]
        if before is not None and stage.goes_on:
            last_step = steps_of(before.scheduler, before.timesteps)[-1]
            conditioning = conditioning.since(last_step + 1)
        finite, late = [], Late[None]()
        for step in _denoised(stage, conditioning, begun, generators, readers, own):
            latents = step.latents
            finite.append(latents.isfinite().all())
            index, ends = done + step.index, has_finished(stage.scheduler, late)
            last = ends and stage is planned[-1]
            yield replace(step, index=index, total=index + 1 if last else total)
            if ends:
                break
        _check_finite(finite, done, total, components.dtype)
        done += len(stage.timesteps)


def first_steps(
    components: Components,
    planned: Sequence[Stage],
    conditionings: Sequence[Conditioning],
    *,
    readers: Readers,
    own: OwnCode,
) -> None:
    """Only the first step of each stage, with all that acts in any of its steps.

    These are all rows that its guidance ever has, ControlNets that begin later, and losses. So each
    stage runs its largest forward pass, whose memory can be measured.
    """
    latents: Tensor | None = None
    begun: Start | None = None
    for stage in planned:
        most = max(stage.guidance_scales, key=lambda scale: scale != 1)
        guided = replace(
            stage,
            guidance_scales=(most,) * len(stage.guidance_scales),
            batch=tuple(map(_acting, stage.batch)),
        )
        generators = _generators(stage)
        begun = _begun(components, stage, begun, latents, generators, readers.encode_input)
        conditioning = conditionings[-1 if stage.refines else 0]
        first = next(_denoised(guided, conditioning, begun, generators, readers, own))
        latents = torch.zeros_like(first.latents)


def _acting(recipe: Recipe) -> Recipe:
    """``recipe`` with what it follows in each step; its losses always act in the first."""
    followed: dict[str, Any] = {
        name: tuple(replace(one, start=0.0, end=1.0) for one in getattr(recipe, name))
        for name in ("controls", "t2i_adapters")
    }
    return replace(recipe, **followed)


def _generators(stage: Stage) -> list[Generator]:
    return seeded_generators([one.seed for one in stage.batch], stage.batch[0].rng)


def _step_generators(stage: Stage, generators: list[Generator]) -> list[Generator]:
    """The generators for the steps: those of the start, or new ones from other seeds."""
    delta = stage.batch[0].eta_noise_seed_delta
    if delta is None:
        return generators
    return seeded_generators(
        [(one.seed + delta) % 2**64 for one in stage.batch], stage.batch[0].rng
    )


def _begun(
    components: Components,
    stage: Stage,
    before: Start | None,
    latents: Tensor | None,
    generators: Sequence[Generator],
    encode_input: EncodeInput,
) -> Start:
    """The start of a stage: ``before`` and ``latents`` are start and end of the last one."""
    args = (stage.batch, stage.scheduler, stage.timesteps, generators)
    if latents is None or before is None:
        return start(components, *args, encode_input=encode_input)
    if not stage.goes_on:
        batch, *rest = args
        return enlarged_start(components, batch, latents, *rest)
    return handed_over(
        components, stage.batch, before, latents, generators, encode_input=encode_input
    )


def _denoised(
    stage: Stage,
    conditioning: Conditioning,
    begun: Start,
    generators: Sequence[Generator],
    readers: Readers,
    own: OwnCode,
) -> Iterator[Step]:
    """Run the loop for one stage."""
    recipe = stage.batch[0]  # all of a batch are equal in the fields that are used here
    seeds = [one.seed for one in stage.batch]
    seed_step_noise(stage.scheduler, begun.latents, seeds, rng=recipe.rng)
    components = stage.components
    conditioning, regions = only_seen(conditioning, regions_in(stage, readers.encode_input))
    weights = prompt_weights(conditioning.weights, regions)
    unet = _unet(components, recipe, len(stage.batch), weights)
    guide, scheduler = guided_by(recipe, stage.scheduler)
    if begun.to_edit is not None:
        # Without guidance there is no such scale, and it is not used.
        scale = 1.0 if recipe.image_guidance_scale is None else recipe.image_guidance_scale
        unet = Editing(unet=unet, picture=begun.to_edit, image_guidance_scale=scale)
        guide, scheduler = guided_by(recipe, stage.scheduler, unet.guide)
    steering = loss_guidance_of(components, stage.batch, recipe.size)
    yield from own.denoised(
        unet,
        scheduler,
        begun.latents,
        _with_pictures(stage, conditioning, begun, readers),
        timesteps=stage.timesteps,
        sigmas=stage.sigmas,
        guidance_scale=stage.guidance_scales,
        guide=guide,
        eta=recipe.eta,
        generators=generators,
        regions=regions,
        masked=begun.masked,
        loss_guidance=steering,
    )
    if steering is not None:
        steering.check_last()


def _with_pictures(
    stage: Stage, conditioning: Conditioning, begun: Start, readers: Readers
) -> Conditioning:
    """``conditioning`` with sizes, and with all that the UNet sees of pictures."""
    components, batch = stage.components, stage.batch
    return replace(
        begun.with_extra_channels(with_sizes(components, conditioning, batch)),
        controls=control_images(components, batch, readers.read_control),
        features=adapter_features(components, batch, readers.read_control),
        image_masks=image_masks(stage, readers.encode_input),
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
        if components.controlnets or components.t2i_adapters:
            one = _controlled(one, components, recipe)
        side = None if recipe.tile is None else recipe.tile // components.vae_factor
        return Windows(unet=one, side=side) if side else one

    def placed(one: Any) -> Any:
        return windowed(one) if every == 1 else reusing(one, every, windowed)

    every = recipe.reuse or 1
    if not weakened:
        return placed(unet)
    twins = [(placed(twin), scale) for twin, scale in weakened]
    return Perturbed(unet=placed(unet), worse=twins, pictures=pictures, weights=weights)


def _controlled(unet: Any, components: Components, recipe: Recipe) -> Controlled:
    nets = components.controlnets
    if recipe.loss_mode == "exact":
        nets = tuple(one._replace(net=GradientCheckpointed(unet=one.net)) for one in nets)
    channels = components.vae.config.latent_channels
    return Controlled(unet=unet, nets=nets, channels=channels, guess_mode=recipe.guess_mode)


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
