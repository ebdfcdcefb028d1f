"""The loop as a generator, and the values in its steps."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sd2
from torch import Tensor

from sdloop.conditioning.encode import condition
from sdloop.errors import SettingError
from sdloop.guidance.guiders import Guide, Noisy, plain
from sdloop.latents.noise import noise, seeded_generators
from sdloop.loop import Step, denoise
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import stream
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.names import SCHEDULERS
from sdloop.schedulers.schedule import make_scheduler, noise_levels, set_steps

COMPONENTS = tiny_sd1()


class Watched:
    """A UNet that counts its calls and remembers the shape of each input."""

    def __init__(self, unet: Any) -> None:
        self.unet = unet
        self.dtype = unet.dtype
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, latent_input: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.shapes.append(tuple(latent_input.shape))
        return self.unet(latent_input, *args, **kwargs)


def steps(
    components: Components = COMPONENTS,
    unet: Any = None,
    scales: Sequence[float] | None = None,
    guide: Guide = plain,
    **settings: Any,
) -> Iterator[Step]:
    """The loop put together by hand, as a reader of the README would."""
    recipe = resolve(Recipe(**{"prompt": "a cat", "seed": 3, "steps": 4, **settings}), components)
    scheduler = make_scheduler(components.scheduler_config, scheduler=recipe.scheduler)
    timesteps, sigmas = set_steps(scheduler, recipe.steps)
    generators = seeded_generators([recipe.seed])
    return denoise(
        unet or components.unet,
        scheduler,
        noise(generators, 4, 16, 16) * scheduler.init_noise_sigma,
        condition(components, recipe),
        timesteps=timesteps,
        sigmas=sigmas,
        guidance_scale=recipe.guidance_scale if scales is None else scales,
        guide=guide,
        generators=generators,
    )


@pytest.mark.parametrize(("guidance_scale", "batch"), [(1, 1), (7.5, 2), (0, 2)])
def test_guidance_doubles_the_batch_and_only_guidance_does(
    guidance_scale: float, batch: int
) -> None:
    unet = Watched(COMPONENTS.unet)
    list(steps(unet=unet, guidance_scale=guidance_scale, scheduler="euler"))
    assert unet.shapes == [(batch, 4, 16, 16)] * 4


def test_each_turn_may_have_a_scale_of_its_own() -> None:
    unet = Watched(COMPONENTS.unet)
    seen = list(steps(unet=unet, scales=[1, 7.5, 7.5, 1], scheduler="euler"))
    assert [shape[0] for shape in unet.shapes] == [1, 2, 2, 1]
    unguided, guided = (list(steps(guidance_scale=g, scheduler="euler")) for g in (1, 7.5))
    assert torch.equal(seen[0].latents, unguided[0].latents)
    assert not torch.equal(seen[1].latents, unguided[1].latents)
    both = list(steps(scales=[7.5] * 4, scheduler="euler"))
    assert all(torch.equal(a.latents, b.latents) for a, b in zip(both, guided, strict=True))
    with pytest.raises(ValueError, match="shorter"):
        list(steps(scales=[7.5, 7.5], scheduler="euler"))


def test_several_prompts_need_the_twin_whatever_the_scale() -> None:
    unet = Watched(COMPONENTS.unet)
    made = [
        list(steps(unet=unet, scales=[1] * 4, scheduler="euler", negative_prompt=negative,
                   guidance_scale=2, prompt="a cat AND a dog :0.5"))[-1].latents
        for negative in ("", "a hat")
    ]  # fmt: skip
    assert [shape[0] for shape in unet.shapes] == [3] * 8
    # Of weights that add up to 1.5, half of what the twin says is left.
    assert not torch.allclose(made[0], made[1])


def test_a_guide_is_told_what_the_unet_saw_and_how_noisy_it_is() -> None:
    told: list[tuple[float, float]] = []

    def guide(noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        told.append((scale, at.sigma))
        assert at.latent_input.shape == noise_uncond.shape == noise_text.shape == (1, 4, 16, 16)
        return noise_text

    seen = list(steps(scales=[1, 3, 4, 5], guide=guide, scheduler="euler"))
    assert told == [(3, seen[1].sigma), (4, seen[2].sigma), (5, seen[3].sigma)]
    unguided = list(steps(guidance_scale=1, scheduler="euler"))
    torch.testing.assert_close(seen[-1].latents, unguided[-1].latents, atol=1e-4, rtol=1e-4)


def test_guidance_at_zero_is_the_unconditional_picture() -> None:
    ignored = list(steps(guidance_scale=0, scheduler="euler"))[-1].latents
    unconditional = replace_prompt(guidance_scale=1)
    torch.testing.assert_close(ignored, unconditional, atol=1e-4, rtol=1e-4)


def replace_prompt(**settings: Any) -> Tensor:
    recipe = Recipe(prompt="", seed=3, steps=4, scheduler="euler", **settings)
    last = [event for event in stream(COMPONENTS, recipe) if isinstance(event, Step)][-1]
    return last.latents


def test_steps_count_up_and_noise_falls() -> None:
    seen = list(steps(scheduler="euler"))
    assert [step.index for step in seen] == [0, 1, 2, 3]
    assert {step.total for step in seen} == {4}
    assert all(one.sigma > two.sigma for one, two in pairwise(seen))
    assert all(one.timestep > two.timestep for one, two in pairwise(seen))
    assert seen[-1].latents.shape == seen[-1].denoised.shape == (1, 4, 16, 16)


def test_the_unet_is_not_called_before_a_step_is_asked_for_nor_after_closing() -> None:
    unet = Watched(COMPONENTS.unet)
    loop = steps(unet=unet)
    assert unet.shapes == []
    next(loop)
    loop.close()
    assert len(unet.shapes) == 1


def test_writing_into_the_latents_changes_the_course() -> None:
    plain = list(steps(scheduler="euler"))
    changed = []
    for step in steps(scheduler="euler"):
        if step.index == 1:
            step.latents.mul_(0.5)
        changed.append(step)
    assert torch.equal(plain[0].latents, changed[0].latents)
    assert not torch.equal(plain[2].latents, changed[2].latents)


@pytest.mark.parametrize("scheduler", ["ddim", "pndm", "ddpm"])
def test_more_steps_than_the_schedule_has_are_refused(scheduler: str) -> None:
    made = make_scheduler(COMPONENTS.scheduler_config, scheduler=scheduler)
    with pytest.raises(SettingError, match="steps must keep the scheduler within its 1000"):
        set_steps(made, 1000)


def test_gradients_are_off_inside_and_untouched_outside() -> None:
    loop = steps(scheduler="euler")
    step = next(loop)
    assert torch.is_grad_enabled()
    assert not step.latents.requires_grad
    loop.close()


BOTH = pytest.mark.parametrize("components", [tiny_sd1(), tiny_sd2()], ids=["epsilon", "v"])


@BOTH
@pytest.mark.parametrize("scheduler", ["ddim", "ddpm", "euler", "euler-a", "lms"])
def test_denoised_is_what_the_scheduler_itself_predicts(
    scheduler: str, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These report it, as ``pred_original_sample``."""
    predicted: list[Tensor] = []
    scheduler_class = type(make_scheduler(components.scheduler_config, scheduler=scheduler))
    step_itself = scheduler_class.step

    def watched_step(self: Any, *args: Any, return_dict: bool, **kwargs: Any) -> Any:
        output = step_itself(self, *args, return_dict=True, **kwargs)
        predicted.append(output.pred_original_sample)
        return (output.prev_sample,)

    monkeypatch.setattr(scheduler_class, "step", watched_step)
    seen = list(steps(components, scheduler=scheduler, guidance_scale=1))
    for step, clean in zip(seen, predicted, strict=True):
        torch.testing.assert_close(step.denoised, clean, atol=2e-4, rtol=2e-4)


@BOTH
@pytest.mark.parametrize("scheduler", ["dpmpp-2m", "dpmpp-2s", "unipc"])
def test_denoised_is_what_a_multistep_scheduler_keeps(
    scheduler: str, components: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    """These convert the prediction to a clean sample first and remember it."""
    kept: list[Tensor] = []
    scheduler_class = type(make_scheduler(components.scheduler_config, scheduler=scheduler))
    convert = scheduler_class.convert_model_output

    def watched(self: Any, *args: Any, **kwargs: Any) -> Tensor:
        kept.append(convert(self, *args, **kwargs))
        return kept[-1]

    monkeypatch.setattr(scheduler_class, "convert_model_output", watched)
    for step in steps(components, scheduler=scheduler, guidance_scale=1):
        torch.testing.assert_close(step.denoised, kept[-1], atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize(
    "scheduler", ["euler", "euler-a", "lms", "heun", "dpm2", "dpm2-a", "dpmpp-sde"]
)
def test_sigma_is_the_level_that_the_unet_looks_at(scheduler: str) -> None:
    """These scale their latents by 1 / sqrt(sigma² + 1): the scale tells which sigma they mean."""
    latents = None
    unet = WatchedInput(COMPONENTS.unet)
    for step in steps(unet=unet, scheduler=scheduler, guidance_scale=1):
        if latents is not None:
            scale = unet.inputs[-1].norm() / latents.norm()
            assert scale.item() == pytest.approx((1 + step.sigma**2) ** -0.5, rel=1e-4)
        latents = step.latents.clone()


class WatchedInput(Watched):
    def __call__(self, latent_input: Tensor, *args: Any, **kwargs: Any) -> Any:
        self.inputs = [latent_input.clone()]
        return super().__call__(latent_input, *args, **kwargs)


def test_zero_terminal_snr_begins_without_any_signal() -> None:
    config = {**tiny_sd2().scheduler_config, "rescale_betas_zero_snr": True}
    components = replace(tiny_sd2(), scheduler_config=config | {"timestep_spacing": "trailing"})
    first = next(steps(components, guidance_scale=1))
    assert math.isinf(first.sigma)
    assert first.denoised.isfinite().all()


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_every_timestep_has_its_noise_level(scheduler: str) -> None:
    if scheduler.startswith("edm"):
        config = {"_class_name": SCHEDULERS[scheduler].class_name}
    else:
        config = dict(COMPONENTS.scheduler_config)
    made = make_scheduler(config, scheduler=scheduler)
    timesteps, sigmas = set_steps(made, 7)
    assert len(timesteps) == len(sigmas) == len(noise_levels(made))
    assert all(sigma >= 0 for sigma in sigmas)
    assert sigmas[0] == max(sigmas)
