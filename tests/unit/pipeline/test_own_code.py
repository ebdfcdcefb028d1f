"""``generate(denoise=…, scheduler=…)``: the caller's own loop and scheduler."""

import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from helpers.commands import Command
from helpers.pictures import sketch
from helpers.tiny import tiny_sd1

import sdloop
from sdloop.metadata.keys import key_of

EXAMPLES = Path(__file__).parents[3] / "examples"
COMPONENTS = tiny_sd1()


@pytest.fixture(autouse=True)
def examples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)


def example(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def recipe(seed: int = 4, **settings: Any) -> sdloop.Recipe:
    return sdloop.Recipe(**{"prompt": "a cat", "seed": seed, "steps": 4} | settings)


def made(one: sdloop.Recipe, **own: Any) -> sdloop.Picture:
    return sdloop.generate(COMPONENTS, one, **own)[0]


def test_sdloops_own_loop_makes_the_same_picture() -> None:
    for settings in ({}, {"hires": 2.0}, {"guidance": "apg", "scheduler": "euler-a"}):
        own = made(recipe(**settings), denoise=sdloop.denoise)
        assert own.image.tobytes() == made(recipe(**settings)).image.tobytes()


def test_a_scheduler_of_diffusers_makes_the_same_picture() -> None:
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler.from_config(dict(COMPONENTS.scheduler_config))
    for settings in ({}, {"hires": 2.0}, {"eta": 0.5}):
        together = sdloop.generate(
            COMPONENTS, [recipe(4, **settings), recipe(5, **settings)],
            batch_size=2, scheduler=scheduler,
        )  # fmt: skip
        theirs = made(recipe(5, scheduler="ddim", **settings))
        torch.testing.assert_close(together[1].latents, theirs.latents, atol=1e-3, rtol=1e-3)
    assert scheduler.num_inference_steps is None  # it was copied


def test_a_loop_by_hand_goes_through_hires_and_is_near_to_diffusers_sampler() -> None:
    loop = example("own_loop").heuns_loop
    one = recipe(scheduler="euler", hires=2.0, steps=10, strength=0.8)
    events = list(sdloop.stream(COMPONENTS, one, denoise=loop))
    steps = [event for event in events if isinstance(event, sdloop.Step)]
    assert [step.index for step in steps] == list(range(18))
    assert [event.image.size for event in events if isinstance(event, sdloop.Picture)] == [(64, 64)]
    plain = recipe(scheduler="euler", steps=10)
    by_hand, heun = made(plain, denoise=loop), made(recipe(scheduler="heun", steps=10))
    torch.testing.assert_close(by_hand.latents, heun.latents, atol=1e-3, rtol=1e-3)


def test_a_scheduler_by_hand_is_fresh_for_each_run() -> None:
    scheduler = example("own_scheduler").AdamsBashforth.from_config(COMPONENTS.scheduler_config)
    first, second = (made(recipe(), scheduler=scheduler) for _ in range(2))
    assert torch.equal(first.latents, second.latents)
    assert not torch.equal(first.latents, made(recipe(scheduler="euler")).latents)
    assert (first.recipe.scheduler, first.recipe.sigmas) == (None, None)


def test_the_file_says_whose_loop_it_was(tmp_path: Path, tiny_model: Path) -> None:
    scheduler = example("own_scheduler").AdamsBashforth.from_config(COMPONENTS.scheduler_config)
    loop = example("own_loop").heuns_loop
    names = {"denoise": "own_loop.heuns_loop", "scheduler": "own_scheduler.AdamsBashforth"}
    picture = sdloop.generate(
        "a cat", seed=4, steps=2, model=str(tiny_model), denoise=loop, scheduler=scheduler
    )
    for metadata in ("full", "minimal"):
        path = picture.save(tmp_path / f"{metadata}.png", metadata=metadata)  # type: ignore[arg-type]
        record = sdloop.read(path).record
        assert record.own_code == names
        assert record.fields["Sampler"] == "own_scheduler.AdamsBashforth"
        assert key_of(path) is None  # no batch takes it for the picture of its Recipe
    result = Command("verify").run(str(path))
    assert result.exit_code == 3
    assert "another denoise, own_loop.heuns_loop" in result.stderr
    assert "which sdloop does not have" in result.stderr
    result = Command("rerun").run(str(path), "-o", str(tmp_path / "again.png"))
    assert "with sdloop's own, the picture will differ" in result.stderr
    assert sdloop.read(tmp_path / "again.png").record.own_code == {}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"scheduler": "heun"}, "scheduler is for the schedulers that have a name"),
        ({"sigmas": "karras"}, "sigmas is for the schedulers that have a name"),
        ({"timesteps": (900, 500), "steps": 2}, "timesteps is for the schedulers that have a name"),
        ({"eta": 0.5}, "eta has no effect with the scheduler AdamsBashforth"),
    ],
)
def test_settings_that_an_own_scheduler_would_ignore_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    scheduler = example("own_scheduler").AdamsBashforth.from_config(COMPONENTS.scheduler_config)
    with pytest.raises(sdloop.SettingError, match=f"^{message}"):
        made(recipe(**settings), scheduler=scheduler)


def test_an_object_that_is_no_scheduler_is_refused() -> None:
    with pytest.raises(sdloop.SettingError, match="must have 'set_timesteps'"):
        made(recipe(), scheduler=object())
    with pytest.raises(sdloop.SettingError, match="got 'euler'; name it in the Recipe"):
        made(recipe(), scheduler="euler")


def bare(unet: Any, scheduler: Any, latents: Any, conditioning: Any) -> Iterator[sdloop.Step]:
    yield sdloop.Step(
        index=0, total=1, timestep=0.0, sigma=0.0, latents=latents * 0.1, denoised=latents
    )


@pytest.mark.parametrize(
    ("settings", "parameter"),
    [
        ({}, "guidance_scale"),
        ({"guidance_scale": 1, "image": "flag", "mask": "alpha"}, "masked"),
        ({"guidance_scale": 1, "losses": ("blue=1",)}, "loss_guidance"),
        ({"guidance_scale": 1, "scheduler": "ddim", "eta": 0.5}, "eta"),
    ],
)
def test_a_recipe_that_needs_more_than_the_loop_takes_is_refused(
    settings: dict[str, Any], parameter: str
) -> None:
    own = {"denoise": bare, "open_image": lambda name: transparent()}
    with pytest.raises(sdloop.SettingError, match=f"denoise must take '{parameter}'"):
        made(recipe(**settings), **own)
    assert made(recipe(guidance_scale=1), **own).latents.shape == (4, 16, 16)


def transparent() -> Any:
    from sdloop.images.input.read import InputImage

    image = sketch(32, 32)
    image.putalpha(0)
    return InputImage(name="flag", sha256="0" * 64, image=image)


def test_a_loop_that_yields_nothing_or_another_shape_is_an_error() -> None:
    def nothing(*arguments: Any, **options: Any) -> Iterator[sdloop.Step]:
        return iter(())

    def cropped(unet: Any, scheduler: Any, latents: Any, *rest: Any, **options: Any) -> Any:
        yield from bare(unet, scheduler, latents[..., 1:], None)

    with pytest.raises(sdloop.SamplingError, match="must yield at least one Step"):
        made(recipe(), denoise=nothing)
    with pytest.raises(sdloop.SamplingError, match="must yield latents of the shape"):
        made(recipe(), denoise=cropped)
