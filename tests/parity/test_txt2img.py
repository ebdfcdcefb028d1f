"""txt2img pictures are bit-equal to those of diffusers' pipelines, on the CPU in float32.

The tables list all cases: in each, latents and pixels are equal to the last bit. The quick ones
always run; ``-m slow`` combines every scheduler, spacing and number of steps with every family.
Cases that cannot be equal, or cannot run at all, are listed after the tables with the reason.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from helpers.crossings import (
    EDM,
    FAMILIES,
    NAMES,
    PACED,
    SPACED,
    STEPPING,
    formula,
    whole_or_stepping,
)
from helpers.parity import reference
from helpers.tiny import tiny_sd1

from sdloop.errors import SettingError
from sdloop.models.checkpoint.legacy import TWINS, settled_scheduler
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS, SIGMAS, SPACINGS
from sdloop.schedulers.schedule import make_scheduler, set_steps


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a photo of a cat", "seed": 7, "steps": 5, "width": 32, "height": 24,
             "guidance_scale": 7.5}  # fmt: skip
    return Recipe(**(usual | settings))


def assert_equal(components: Components, wanted: Recipe, seeds: tuple[int, ...] = (7,)) -> None:
    recipes = [replace(wanted, seed=seed) for seed in seeds]
    pictures = generate(components, recipes, batch_size=len(seeds))
    latents, images = reference(components, wanted, list(seeds))
    for picture, expected, image in zip(pictures, latents, images, strict=True):
        assert torch.equal(picture.latents, expected)
        assert np.array_equal(np.asarray(picture.image), np.asarray(image))
        assert np.asarray(image).std() > 1  # a flat picture would prove nothing


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("scheduler", NAMES)
def test_every_scheduler(family: str, scheduler: str) -> None:
    components = whole_or_stepping(scheduler, family, FAMILIES, STEPPING)
    assert_equal(components, recipe(scheduler=scheduler, negative_prompt="a dog"))


@pytest.mark.parametrize("steps", [1, 2, 20])
@pytest.mark.parametrize("scheduler", NAMES)
def test_few_and_many_steps(scheduler: str, steps: int) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, steps=steps))


@pytest.mark.parametrize("scheduler", NAMES)
def test_without_guidance(scheduler: str) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, guidance_scale=1, steps=2))


@pytest.mark.parametrize(("scheduler", "sigmas"), SPACED)
def test_spacing_of_sigmas(scheduler: str, sigmas: str) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, sigmas=sigmas))


@pytest.mark.parametrize(("scheduler", "spacing"), PACED)
def test_spacing_of_timesteps(scheduler: str, spacing: str) -> None:
    assert_equal(STEPPING["sd1"](), recipe(scheduler=scheduler, timestep_spacing=spacing))


@pytest.mark.slow
@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("guidance_scale", [1, 7.5])
def test_everything_crossed(family: str, steps: int, guidance_scale: float) -> None:
    settings = {"steps": steps, "guidance_scale": guidance_scale}
    for scheduler, sigmas in SPACED:
        assert_equal(FAMILIES[family](), recipe(scheduler=scheduler, sigmas=sigmas, **settings))
    for scheduler, spacing in PACED:
        wanted = recipe(scheduler=scheduler, timestep_spacing=spacing, **settings)
        assert_equal(FAMILIES[family](), wanted)


@pytest.mark.parametrize(
    "settings",
    [
        {"negative_prompt": ""},
        {"prompt": ""},
        {"guidance_rescale": 0.7},
        {"scheduler": "ddim", "eta": 0.6},
        {"scheduler": "tcd", "eta": 0.3},
        {"width": 64, "height": 16},
        {"clip_skip": 2},
        {"clip_skip": 2, "guidance_scale": 1},
    ],
    ids=str,
)
@pytest.mark.parametrize("family", FAMILIES)
def test_settings(family: str, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    components = (FAMILIES if "width" in settings else STEPPING)[family]()
    if "clip_skip" in settings and not hasattr(components.text_encoder, "text_model"):
        # diffusers 0.42 looks for the layer norm where transformers had it before 5.6.
        encoder = components.text_encoder
        monkeypatch.setattr(encoder, "text_model", _Before(encoder), raising=False)
    assert_equal(components, recipe(**settings))


class _Before:
    """Where ``CLIPTextModel.text_model`` used to be, with the one part that diffusers asks for."""

    def __init__(self, encoder: Any) -> None:
        self.final_layer_norm = encoder.final_layer_norm


@pytest.mark.parametrize("scheduler", ["euler", "euler-a", "dpmpp-sde", "ddpm", "lcm", "dpm2-a"])
@pytest.mark.parametrize("family", FAMILIES)
def test_several_pictures_at_once(family: str, scheduler: str) -> None:
    makes = FAMILIES if scheduler == "euler-a" else STEPPING
    assert_equal(makes[family](), recipe(scheduler=scheduler), seeds=(7, 8, 2**32 - 1))


@pytest.mark.parametrize(
    "sizes",
    [
        {"original_size": (64, 48)},
        {"crop_top_left": (3, 5), "target_size": (48, 16)},
        {"original_size": (1, 2), "crop_top_left": (0, 0), "target_size": (3, 4)},
    ],
    ids=str,
)
def test_sizes_that_sdxl_is_told(sizes: dict[str, Any]) -> None:
    assert_equal(STEPPING["sdxl"](), recipe(**sizes))


def test_sdxl_without_forced_zeros() -> None:
    components = replace(STEPPING["sdxl"](), force_zeros_for_empty_prompt=False)
    assert_equal(components, recipe())
    forced = generate(STEPPING["sdxl"](), recipe())[0]
    assert not torch.equal(forced.latents, generate(components, recipe())[0].latents)


def changed(family: str, **config: Any) -> Components:
    components = STEPPING[family]()
    return replace(components, scheduler_config={**components.scheduler_config, **config})


SAMPLE = [name for name in NAMES if "sample" in SCHEDULERS[name].knows]
NO_SAMPLE = [name for name in NAMES if name not in SAMPLE]


@pytest.mark.parametrize("scheduler", SAMPLE)
def test_sample_prediction(scheduler: str) -> None:
    assert_equal(changed("sd1", prediction_type="sample"), recipe(scheduler=scheduler))


# Those that have `rescale_betas_zero_snr`, with the settings that Lin et al. 2023 ask for.
ZERO_SNR = ["ddim", "ddpm", "euler", "euler-a", "dpmpp-2m", "unipc", "lcm", "tcd"]


@pytest.mark.parametrize("scheduler", ZERO_SNR)
def test_zero_terminal_snr(scheduler: str) -> None:
    class_name = SCHEDULERS[scheduler].class_name
    components = changed(
        "sd2",
        _class_name=class_name,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )
    assert_equal(components, recipe(guidance_rescale=0.7))


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("scheduler", EDM)
def test_edm(scheduler: str, prediction: str) -> None:
    config = {
        "_class_name": SCHEDULERS[scheduler].class_name,
        "sigma_min": 0.002,
        "sigma_max": 80.0,
        "sigma_data": 0.5,
        "prediction_type": prediction,
    }
    whole = replace(FAMILIES["sdxl"](), scheduler_config=config)
    assert_equal(whole, recipe(scheduler=scheduler))
    stepping = replace(STEPPING["sdxl"](), scheduler_config=config)
    assert_equal(stepping, recipe(steps=2, guidance_scale=1))


# What cannot be equal, or cannot run.


@pytest.mark.parametrize("scheduler", NO_SAMPLE)
def test_sample_prediction_that_diffusers_cannot_run_either(scheduler: str) -> None:
    """Their ``step`` raises; sdloop says so before it begins."""
    components = changed("sd1", prediction_type="sample")
    with pytest.raises((ValueError, NotImplementedError)):
        reference(components, recipe(scheduler=scheduler), [7])
    with pytest.raises(SettingError, match="prediction_type 'sample'"):
        generate(components, recipe(scheduler=scheduler))


@pytest.mark.parametrize(
    "scheduler", ["dpmpp-2m", "dpmpp-2m-sde", "dpmpp-2s", "deis", "unipc", "sa-solver"]
)
def test_beta_sigmas_of_many_steps_where_diffusers_fails(scheduler: str) -> None:
    """Rounding makes their first two timesteps alike, and the pipeline begins at the second."""
    wanted = recipe(scheduler=scheduler, sigmas="beta", steps=50, guidance_scale=1)
    with pytest.raises((IndexError, AssertionError)):
        reference(STEPPING["sd1"](), wanted, [7])
    assert len(generate(STEPPING["sd1"](), wanted)[0].sigmas) == 50


@pytest.mark.parametrize("scheduler", ["ddim", "ddpm"])
def test_another_scheduler_in_place_of_one_that_does_not_clip(scheduler: str) -> None:
    """The config of a DPM++ checkpoint says nothing of clipping; StableDiffusionPipeline sees to
    it, and sdloop when it finds the checkpoint."""
    config = {
        "_class_name": "DPMSolverSinglestepScheduler",
        "beta_schedule": "scaled_linear",
        "beta_start": 0.00085,
        "beta_end": 0.012,
    }
    plain = replace(FAMILIES["sd1"](), scheduler_config=config)
    settled = replace(plain, scheduler_config=settled_scheduler("a model", config, "sd1"))
    wanted = recipe(scheduler=scheduler)
    latents, _ = reference(plain, wanted, [7])
    assert torch.equal(generate(settled, wanted)[0].latents, latents[0])


@pytest.mark.parametrize("eta", [0.0, 0.6])
@pytest.mark.parametrize("class_name", TWINS)
def test_schedulers_for_steps_in_parallel(class_name: str, eta: float) -> None:
    """diffusers runs the class that the checkpoint names, and sdloop its twin."""
    if eta and not class_name.startswith("DDIM"):
        pytest.skip("DDPM has no eta")
    plain = changed("sd1", _class_name=class_name)
    config = settled_scheduler("a model", plain.scheduler_config, "sd1")
    assert config["_class_name"] == TWINS[class_name]
    wanted = recipe(eta=eta)
    latents, images = reference(plain, wanted, [7])
    (picture,) = generate(replace(plain, scheduler_config=config), wanted)
    assert torch.equal(picture.latents, latents[0])
    assert np.array_equal(np.asarray(picture.image), np.asarray(images[0]))


# The tables would prove nothing if the settings made no difference.


@pytest.mark.parametrize("scheduler", sorted({name for name, _ in SPACED}))
def test_each_spacing_of_sigmas_is_another(scheduler: str) -> None:
    assert len({levels(scheduler, sigmas=sigmas) for sigmas in SIGMAS}) == len(SIGMAS)


@pytest.mark.parametrize("scheduler", sorted({name for name, _ in PACED}))
def test_each_spacing_of_timesteps_is_another(scheduler: str) -> None:
    made = {levels(scheduler, timestep_spacing=spacing) for spacing in SPACINGS}
    assert len(made) == len(SPACINGS)


def levels(scheduler: str, **settings: str) -> tuple[float, ...]:
    config = FAMILIES["sd1"]().scheduler_config
    made = make_scheduler(config, scheduler=scheduler, **settings)  # type: ignore[arg-type]
    timesteps, sigmas = set_steps(made, 7)
    return (*timesteps.tolist(), *sigmas)


def test_half_precision_keeps_float32_latents_near_those_of_float32() -> None:
    exact = generate(FAMILIES["sd1"](), recipe(scheduler="euler"))[0]
    half = tiny_sd1()
    for module in (half.unet, half.text_encoder):
        module.to(torch.bfloat16)
    near = generate(half, recipe(scheduler="euler"))[0]
    assert near.latents.dtype == torch.float32
    assert not torch.equal(near.latents, near.latents.bfloat16().float())
    assert (near.latents - exact.latents).abs().mean() < 0.1 * exact.latents.std()


def test_the_formula_depends_on_all_that_a_unet_is_given() -> None:
    """It stands in the UNet's place where steps are crossed, in every file of these."""
    drawn = torch.Generator().manual_seed(0)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=drawn)

    given: dict[str, Any] = {
        "sample": noise(2, 9, 4, 4),
        "timestep": torch.tensor(7.0),
        "encoder_hidden_states": noise(2, 77, 8),
        "class_labels": torch.tensor([3, 3]),
        "added_cond_kwargs": {"text_embeds": noise(2, 8), "time_ids": noise(2, 6)},
    }
    others = {
        "timestep": torch.tensor(8.0),
        "encoder_hidden_states": given["encoder_hidden_states"] * 1.01,
        "class_labels": torch.tensor([4, 4]),
        "added_cond_kwargs": {**given["added_cond_kwargs"], "text_embeds": noise(2, 8)},
    }
    (usual,) = formula(**given)
    assert usual.shape == (2, 4, 4, 4)
    for name, value in others.items():
        assert not torch.equal(formula(**(given | {name: value}))[0], usual)
    for channel in range(9):
        sample = given["sample"].clone()
        sample[:, channel] += 0.01
        assert not torch.equal(formula(**(given | {"sample": sample}))[0], usual)
    uncond, text = usual.chunk(2)
    assert not torch.equal(uncond, text)
