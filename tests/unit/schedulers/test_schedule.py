"""Schedulers by name: valid and invalid settings, and the device of their calculations."""

from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1

from sdloop.errors import ModelError, SettingError
from sdloop.latents.noise import noise, seeded_generators
from sdloop.loop import Step
from sdloop.pipeline.generate import stream
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.names import SCHEDULERS
from sdloop.schedulers.schedule import denoised_latents, make_scheduler, set_steps, step_options

COMPONENTS = tiny_sd1()
NAMES = [name for name, e in SCHEDULERS.items() if not e.knows & {"edm", "descent"}]
EDM = {"_class_name": "EDMEulerScheduler", "prediction_type": "epsilon", "sigma_data": 0.5}


def test_only_known_classes_are_made() -> None:
    with pytest.raises(ModelError, match="the model's scheduler is a 'UNet2DConditionModel'"):
        make_scheduler({"_class_name": "UNet2DConditionModel"})


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"scheduler": "lms"}, "scipy"),
        ({"scheduler": "euler", "sigmas": "beta"}, "scipy"),
        ({"scheduler": "dpmpp-sde"}, "torchsde"),
    ],
    ids=str,
)
def test_a_missing_package_is_named(
    settings: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(SettingError, match=f"needs {package}: pip install"):
        make_scheduler(COMPONENTS.scheduler_config, **settings)


def test_steps_that_a_scheduler_cannot_make() -> None:
    made = make_scheduler(COMPONENTS.scheduler_config, scheduler="ddim")
    with pytest.raises(SettingError, match="steps must suit the scheduler, got 1001"):
        set_steps(made, 1001)


@pytest.mark.parametrize("scheduler", NAMES)
def test_a_start_leaves_out_the_steps_before_it(scheduler: str) -> None:
    """And ``add_noise`` and the first ``step`` agree with it where the schedule goes on."""
    whole = make_scheduler(COMPONENTS.scheduler_config, scheduler=scheduler)
    timesteps, sigmas = set_steps(whole, 10)
    late = make_scheduler(COMPONENTS.scheduler_config, scheduler=scheduler)
    some, levels = set_steps(late, 10, start=4)
    left_out = 4 * late.order
    assert some.tolist() == timesteps[left_out:].tolist()
    assert levels == sigmas[left_out:]
    assert 0 < len(some) < len(timesteps)
    clean, drawn = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    noisy = late.scale_model_input(late.add_noise(clean, drawn, some[:1]), some[0])
    beta = levels[0] / (1 + levels[0] ** 2) ** 0.5  # what the UNet then sees of the noise
    torch.testing.assert_close(noisy, drawn * beta, rtol=2e-2, atol=0)


def test_uniform_switches_the_checkpoints_own_spacing_off() -> None:
    config = {"_class_name": "EulerDiscreteScheduler", "use_karras_sigmas": True}
    karras = set_steps(make_scheduler(config), 5)[1]
    uniform = set_steps(make_scheduler(config, scheduler="euler", sigmas="uniform"), 5)[1]
    plain = set_steps(make_scheduler({"_class_name": "EulerDiscreteScheduler"}), 5)[1]
    assert uniform == plain != karras


def test_denoised_in_edms_terms_is_what_the_scheduler_itself_predicts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    components = replace(COMPONENTS, scheduler_config=EDM)
    predicted: list[torch.Tensor] = []
    kind = type(make_scheduler(EDM))
    step_itself = kind.step

    def watched(self: Any, *args: Any, return_dict: bool, **kwargs: Any) -> Any:
        output = step_itself(self, *args, return_dict=True, **kwargs)
        predicted.append(output.pred_original_sample)
        return (output.prev_sample,)

    monkeypatch.setattr(kind, "step", watched)
    wanted = Recipe(prompt="a cat", seed=1, steps=4)
    seen = [event for event in stream(components, wanted) if isinstance(event, Step)]
    for step, clean in zip(seen, predicted, strict=True):
        torch.testing.assert_close(step.denoised, clean)


@pytest.mark.parametrize(
    "scheduler", [name for name in SCHEDULERS if name not in ("dpmpp-sde", "asgd")]
)
def test_the_arithmetic_stays_on_the_latents_device(scheduler: str) -> None:
    """Latents without values stand in for a GPU's: an operation that mixes devices raises."""
    config = EDM if scheduler.startswith("edm") else COMPONENTS.scheduler_config
    made = make_scheduler(config, scheduler=scheduler)
    timesteps, sigmas = set_steps(made, 5)
    generators = seeded_generators([1, 2])
    latents = noise(generators, 4, 8, 8).to("meta") * made.init_noise_sigma
    options = step_options(made, 0.0, generators)
    for t, sigma in zip(timesteps, sigmas, strict=True):
        latent_input = made.scale_model_input(torch.cat([latents] * 2), t)[:2]
        noise_pred = torch.empty_like(latents)
        assert denoised_latents(made, latents, latent_input, noise_pred, sigma).is_meta
        latents = made.step(noise_pred, t, latents, **options, return_dict=False)[0]
    assert latents.is_meta
