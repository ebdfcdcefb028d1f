"""Optimisers as schedulers: the predicted noise level, when they stop, and which models fit."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.commands import Command, pixels
from helpers.model_facts import Model
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from judge import load_judge, look_at

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.errors import SettingError
from sdloop.latents.mask import MaskedLatents
from sdloop.loop import Step, denoise
from sdloop.metadata.picture import read_record
from sdloop.models.components.load import Components
from sdloop.pipeline import passes as stages
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.picture import Picture
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.names import SCHEDULERS, parse_scheduler
from sdloop.schedulers.schedule import make_scheduler, set_steps

JUDGE = Path(__file__).parents[3] / "examples" / "train_mini" / "judge"
DESCENTS = [name for name, entry in SCHEDULERS.items() if "descent" in entry.knows]
FAMILIES = {"sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl}
TXT2IMG = Command("txt2img", steps=15)


@pytest.fixture(scope="module")
def mini() -> Components:
    return sdloop.load_components("mini")


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a red frog in a park", "seed": 1, "scheduler": "adam"}
    return Recipe(**(usual | settings))


def made(config: dict[str, Any], name: str, **settings: Any) -> Any:
    options = {"learning_rate": SCHEDULERS[name].options["learning_rate"], "stop_noise": 0.0}
    return make_scheduler(config, scheduler=name, **(options | settings))


def test_every_optimiser_of_torch_has_a_name_or_a_reason() -> None:
    """LBFGS wants the loss as well, SparseAdam a sparse gradient, Muon a matrix, and Adafactor
    makes its steps as large as the parameters are."""
    named = {SCHEDULERS[name].class_name.removeprefix("torch.optim.") for name in DESCENTS}
    classes = {name for name, kind in vars(torch.optim).items() if isinstance(kind, type)}
    assert classes - named == {"Optimizer", "LBFGS", "SparseAdam", "Muon", "Adafactor"}
    assert parse_scheduler("torch.optim.NAdam") == ("nadam", None)
    assert parse_scheduler("torch.optim.SGD") == ("sgd", None)


@pytest.mark.parametrize("name", DESCENTS)
def test_the_rehearsal_foretells_how_much_noise_is_left(name: str) -> None:
    """Where the UNet knows the picture, that is all there is to foretell.

    At the end a few elements, which were noisier than most, make it more by a little.
    """
    scheduler = made(tiny_sd1().scheduler_config, name)
    timesteps, sigmas = set_steps(scheduler, 12)
    assert all(sigma >= following for sigma, following in pairwise(sigmas))
    assert sigmas[0] == pytest.approx(14.6)
    assert sigmas[-1] < sigmas[0] / 2
    clean = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(2, 4, 32, 32, generator=torch.Generator().manual_seed(1))
    latents = scheduler.add_noise(clean, noise, timesteps[:1])
    for t, sigma in zip(timesteps, sigmas, strict=True):
        left = latents - clean
        assert left.square().mean().sqrt() == pytest.approx(sigma, rel=0.1, abs=0.2)
        latents = scheduler.step(left / sigma, t, latents, return_dict=False)[0]
    torch.testing.assert_close(latents, clean, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_plain_descent_is_eulers_method_at_the_same_levels(family: str) -> None:
    components = FAMILIES[family]()
    config = {**components.scheduler_config, "timestep_spacing": "trailing"}
    components = replace(components, scheduler_config=config)
    settings = {"width": 32, "height": 32, "guidance_scale": 5.0}
    descended = generate(components, recipe(scheduler="sgd", steps=8, stop_noise=0, **settings))[0]
    levels = (*descended.sigmas, 0.0)
    assert levels[1] / levels[0] == pytest.approx(0.7)
    euler = generate(components, recipe(scheduler="euler", sigmas_list=levels, **settings))[0]
    torch.testing.assert_close(descended.latents, euler.latents, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("name", ["adam", "rprop"])
def test_each_picture_of_a_batch_is_that_made_alone(family: str, name: str) -> None:
    wanted = [
        recipe(scheduler=name, seed=seed, steps=6, width=32, height=32, stop_noise=3.0)
        for seed in (1, 2, 3)
    ]
    components = FAMILIES[family]()
    together = generate(components, wanted, batch_size=3)
    for one, picture in zip(wanted, together, strict=True):
        (alone,) = generate(components, one)
        assert alone.sigmas == picture.sigmas
        torch.testing.assert_close(alone.latents, picture.latents, rtol=1e-3, atol=1e-3)


def test_pictures_of_a_batch_stop_each_by_itself(
    mini: Components, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = [recipe(seed=seed) for seed in (2, 3)]
    events = list(stream(mini, wanted, batch_size=2))
    steps = [event for event in events if isinstance(event, Step)]
    pictures = [event for event in events if isinstance(event, Picture)]
    looks = [len(picture.sigmas) for picture in pictures]
    assert looks[0] != looks[1]
    assert max(looks) == len(steps) < 25
    assert [step.total for step in steps] == [25] * (len(steps) - 1) + [len(steps)]
    # The steps that are left out would change nothing.
    monkeypatch.setattr(stages, "has_finished", lambda *_: False)
    for one, picture in zip(generate(mini, wanted, batch_size=2), pictures, strict=True):
        assert torch.equal(one.latents, picture.latents)
        assert one.sigmas == picture.sigmas


def test_less_noise_at_the_end_takes_more_steps(mini: Components) -> None:
    counts = [
        len(generate(mini, recipe(scheduler="sgd", steps=12, stop_noise=stop))[0].sigmas)
        for stop in (3.0, 1.0, 0.0)
    ]
    assert counts == sorted(counts)
    assert counts[0] < counts[1] < counts[2] == 12


def test_what_stays_outside_of_a_mask_is_as_clean_as_what_has_stopped() -> None:
    components = tiny_sd1()
    scheduler = made(components.scheduler_config, "sgd", stop_noise=100.0)
    timesteps, sigmas = set_steps(scheduler, 8)
    clean, noise = torch.zeros(1, 4, 8, 8) + 0.5, torch.ones(1, 4, 8, 8)
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :4] = 1
    words = condition(components, resolve(recipe(guidance_scale=1), components))
    steps = denoise(
        components.unet, scheduler, noise * 14.6, words, timesteps=timesteps, sigmas=sigmas,
        guidance_scale=1, masked=MaskedLatents(clean=clean, noise=noise, mask=mask),
    )  # fmt: skip
    first = next(steps)
    assert scheduler.finished
    assert torch.equal(first.latents[..., 4:], clean[..., 4:])
    assert torch.equal(first.latents[..., :4], first.denoised[..., :4])


@pytest.mark.parametrize("strength", [0.3, 0.7])
def test_a_later_start_has_less_noise_and_moments_of_its_own(strength: float) -> None:
    config = tiny_sd1().scheduler_config
    start = round(10 * (1 - strength))
    scheduler = made(config, "adam", stop_noise=0.1)
    timesteps, sigmas = set_steps(scheduler, 10, start=start)
    assert len(timesteps) == 10 - start
    assert sigmas[0] == pytest.approx(14.6 * (0.1 / 14.6) ** (start / 10), rel=1e-4)
    # Scaled to where it starts, the descent is the same.
    whole = set_steps(made(config, "adam", stop_noise=0.1), 10 - start)[1]
    assert sigmas[2] / sigmas[0] == pytest.approx(whole[2] / whole[0], rel=1e-3)
    clean, noise = torch.zeros(1, 4, 8, 8), torch.ones(1, 4, 8, 8)
    assert scheduler.add_noise(clean, noise, timesteps[:1]).max() == pytest.approx(sigmas[0])


def test_weight_decay_pulls_the_latents_to_nothing() -> None:
    scheduler = made(tiny_sd1().scheduler_config, "sgd", weight_decay=0.05)
    timesteps, _ = set_steps(scheduler, 5)
    latents, noise = torch.full((1, 4, 8, 8), 10.0), torch.full((1, 4, 8, 8), 0.01)
    moved = scheduler.step(noise, timesteps[0], latents, return_dict=False)[0]
    torch.testing.assert_close(moved, latents - 0.3 * 14.6 * (noise + 0.05 * latents))


def test_the_model_fills_in_what_an_optimiser_takes() -> None:
    resolved = resolve(recipe(scheduler="adamw"), Model())
    assert (resolved.learning_rate, resolved.weight_decay, resolved.stop_noise) == (1.2, 0.01, 0.1)
    assert resolve(resolved, Model()) == resolved
    assert resolve(recipe(), Model()).weight_decay is None
    assert resolve(recipe(scheduler="euler"), Model()).stop_noise is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"scheduler": "euler", "learning_rate": 0.3},
            "learning_rate has no effect .* euler.*",
        ),
        ({"scheduler": "ddim", "stop_noise": 0.0}, "stop_noise has no effect with the scheduler"),
        ({"scheduler": "rprop", "weight_decay": 0.1}, "weight_decay has no effect .*adam, adamw"),
        ({"sigmas": "karras"}, "sigmas has no effect with the scheduler adam"),
        ({"timestep_spacing": "leading"}, "timestep_spacing has no effect with the scheduler adam"),
        ({"timesteps": (500, 1)}, "timesteps has no effect with the scheduler adam"),
        ({"eta": 0.5}, "eta has no effect with the scheduler adam"),
        ({"learning_rate": 0.0}, "learning_rate must be between 0.0001 and 10000, got 0.0"),
        ({"stop_noise": -1.0}, "stop_noise must be between 0 and 100, got -1"),
        ({"scheduler": "lbfgs"}, "scheduler must be a known one"),
    ],
    ids=str,
)
def test_what_means_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        recipe(**settings)


def test_a_model_with_a_scheduler_of_its_own_takes_no_learning_rate() -> None:
    with pytest.raises(SettingError, match="learning_rate has no effect with the scheduler euler"):
        resolve(Recipe(prompt="", seed=0, learning_rate=0.5), Model())


def test_the_command_says_where_it_stopped_and_the_file_makes_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = TXT2IMG.run("a red frog", "--scheduler", "adam", "--seed", "2", "-o", "one.png")
    assert result.exit_code == 0, result.stderr
    (taken,) = [line for line in result.stderr.splitlines() if "stopped" in line]
    assert taken.startswith("sdloop: seed 2: adam stopped after 1")
    assert taken.endswith(" of 25 steps")
    (line,) = TXT2IMG.plan("a red frog", "--scheduler", "adam", "--seed", "2")
    assert (line["learning_rate"], line["stop_noise"]) == (1.2, 0.1)
    record = read_record(Path("one.png"))
    assert record.recipe is not None
    assert f"after {len(record.made['sigmas'])} of" in taken
    (again,) = generate(sdloop.load_components("mini"), record.recipe)
    assert again.image.tobytes() == pixels("one.png")
    quiet = TXT2IMG.run("a red frog", "--scheduler", "adam", "--seed", "2", "-q", "-o", "two.png")
    assert quiet.stderr == ""


def test_fifteen_steps_of_adam_make_pictures_that_the_classifier_knows(mini: Components) -> None:
    """Of eight subjects it may miss one; of hundreds it misses about one in ten."""
    subjects = ("frog", "house", "cat", "tree", "robot", "boat", "fish", "castle")
    wanted = [
        recipe(prompt=f"a {subject} in a park", seed=seed, steps=15)
        for seed, subject in enumerate(subjects)
    ]
    pictures = generate(mini, wanted, batch_size=8)
    assert max(len(picture.sigmas) for picture in pictures) <= 15
    seen = look_at(load_judge(JUDGE), [picture.image for picture in pictures]).answers("subject")
    right = sum(one == subject for one, subject in zip(seen, subjects, strict=True))
    assert right >= 7
