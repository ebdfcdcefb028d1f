"""CFG++: its two schedulers, compared with the formulas of the paper and k-diffusion."""

from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.conditioning.encode import condition, with_sizes
from sdloop.errors import SettingError
from sdloop.latents.noise import noise, seeded_generators
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.schedule import make_scheduler, set_steps

FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 7, "steps": 5, "width": 32, "height": 24}
    return Recipe(**{**usual, "guidance": "cfg++", "guidance_scale": 0.6, **settings})


class Model:
    """The two noises that a UNet sees, epsilon whatever it was trained for, by itself."""

    def __init__(self, components: Components, wanted: Recipe) -> None:
        resolved = resolve(wanted, components)
        told = with_sizes(components, condition(components, resolved), [resolved])
        self.inputs = told.unet_inputs(guided=True)
        self.unet = components.unet
        config = components.scheduler_config
        self.kind = config.get("prediction_type", "epsilon")
        scheduler = make_scheduler(config, scheduler=wanted.scheduler)
        self.timesteps, self.sigmas = set_steps(scheduler, wanted.steps)
        self.scheduler = scheduler
        size = (wanted.height or 0) // 2, (wanted.width or 0) // 2
        self.noise = noise(seeded_generators([wanted.seed]), 4, *size)

    @torch.no_grad()
    def noises(self, seen: Tensor, t: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
        """Of latents with a variance of 1."""
        predicted = self.unet(torch.cat([seen] * 2), t, **self.inputs, return_dict=False)[0]
        if self.kind == "v_prediction":
            alpha = (1 + sigma**2) ** -0.5
            predicted = alpha * predicted + sigma * alpha * torch.cat([seen] * 2)
        uncond, text = predicted.chunk(2)
        return uncond, text


@pytest.mark.parametrize("family", FAMILIES)
def test_ddim_is_the_papers_second_algorithm(family: str) -> None:
    components = FAMILIES[family]()
    wanted = recipe(scheduler="ddim")
    model = Model(components, wanted)
    x, levels = model.noise, model.scheduler.alphas_cumprod
    for t, sigma in zip(model.timesteps, model.sigmas, strict=True):
        level = levels[t]
        after = levels[t - 200] if t >= 200 else model.scheduler.final_alpha_cumprod
        uncond, text = model.noises(x, t, sigma)
        guided = uncond + 0.6 * (text - uncond)
        clean = (x - (1 - level).sqrt() * guided) / level.sqrt()
        if model.scheduler.config.clip_sample:  # as SDXL's is, in diffusers as well
            clean = clean.clamp(-1, 1)
        x = after.sqrt() * clean + (1 - after).sqrt() * uncond
    torch.testing.assert_close(generate(components, wanted)[0].latents, x[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_euler_is_k_diffusions_euler_cfg_pp(family: str) -> None:
    components = FAMILIES[family]()
    wanted = recipe(scheduler="euler")
    model = Model(components, wanted)
    x = model.noise * model.scheduler.init_noise_sigma
    nexts = [*model.sigmas[1:], 0.0]
    for t, sigma, after in zip(model.timesteps, model.sigmas, nexts, strict=True):
        uncond, text = model.noises(x / (1 + sigma**2) ** 0.5, t, sigma)
        denoised = x - sigma * (uncond + 0.6 * (text - uncond))
        uncond_denoised = x - sigma * uncond
        x = denoised + after * (x - uncond_denoised) / sigma
    torch.testing.assert_close(generate(components, wanted)[0].latents, x[0], atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_at_scale_0_it_is_the_unconditional_picture(scheduler: str) -> None:
    components = tiny_sd1()
    ignored = generate(components, recipe(scheduler=scheduler, guidance_scale=0))[0].latents
    plain = recipe(scheduler=scheduler, guidance=None, guidance_scale=0)
    torch.testing.assert_close(
        ignored, generate(components, plain)[0].latents, atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
def test_beside_an_interval_the_scheduler_is_as_it_is(scheduler: str) -> None:
    components = tiny_sd1()
    sigmas = generate(components, recipe(scheduler=scheduler))[0].sigmas
    last = recipe(scheduler=scheduler, guidance_interval=f"..{sigmas[-1] * 1.01}")
    # At the end no noise is added back, by either formula.
    usual = recipe(scheduler=scheduler, guidance=None, guidance_interval=last.guidance_interval)
    made, plain = (generate(components, one)[0].latents for one in (last, usual))
    close = {"atol": 1e-4, "rtol": 1e-4} if scheduler == "euler" else {"atol": 5e-2, "rtol": 5e-2}
    torch.testing.assert_close(made, plain, **close)


def test_noise_of_ddim_is_drawn_as_ever() -> None:
    components = tiny_sd1()
    made = [
        generate(components, recipe(scheduler="ddim", eta=eta))[0].latents for eta in (0.7, 0.7, 0)
    ]
    assert torch.equal(made[0], made[1])
    assert not torch.allclose(made[0], made[2])


@pytest.mark.parametrize("scheduler", [None, "pndm", "dpmpp-2m", "euler-a", "heun"])
def test_other_schedulers_are_refused_by_name(scheduler: str | None) -> None:
    wanted = recipe(scheduler=scheduler)
    message = f"cfg\\+\\+ needs the scheduler ddim or euler, got '{scheduler or 'pndm'}'"
    with pytest.raises(SettingError, match=message):
        generate(tiny_sd1(), wanted)


def test_without_a_scale_it_has_one_of_its_own() -> None:
    wanted = recipe(scheduler="euler", guidance_scale=None)
    assert resolve(wanted, tiny_sd1()).guidance_scale == 0.6
