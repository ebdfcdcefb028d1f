"""``rng`` philox: which noise a picture gets, and that it is A1111's."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_sd1
from PIL import Image
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.latents.philox import Philox
from sdloop.pipeline.generate import generate
from sdloop.pipeline.step_noise import seed_step_noise
from sdloop.recipe.key import content_key
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.schedule import make_scheduler, set_steps

COMPONENTS = tiny_sd1()


def recipe(**settings: Any) -> Recipe:
    usual: dict[str, Any] = {"prompt": "a cat", "seed": 7, "width": 32, "height": 32}
    usual |= {"steps": 2, "scheduler": "euler", "guidance_scale": 1, "rng": "philox"}
    return Recipe(**(usual | settings))


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int, tuple[int, ...]]]:
    """Seed, number in its streams, and shape of every tensor that is drawn from Philox."""
    draws: list[tuple[int, int, tuple[int, ...]]] = []
    normal = Philox.normal

    def watched(self: Philox, shape: tuple[int, ...]) -> Tensor:
        draws.append((self.initial_seed(), self.drawn, tuple(shape)))
        return normal(self, shape)

    monkeypatch.setattr(Philox, "normal", watched)
    return draws


@pytest.fixture
def picture(tmp_path: Path) -> dict[str, str]:
    Image.effect_noise((32, 32), 60).convert("RGB").save(tmp_path / "a.png")
    Image.linear_gradient("L").resize((32, 32)).save(tmp_path / "m.png")
    return {"image": str(tmp_path / "a.png"), "mask": str(tmp_path / "m.png")}


def test_the_draws_of_a_picture(
    drawn: list[tuple[int, int, tuple[int, ...]]], picture: dict[str, str]
) -> None:
    """The first noise is the first of its seed in every task, as in A1111."""
    channels, side = COMPONENTS.unet.config.in_channels, 32 // COMPONENTS.vae_factor
    shape, twice = (1, channels, side, side), (1, channels, 2 * side, 2 * side)
    image = {"image": picture["image"], "strength": 0.9}
    varied = {"variation_seed": 9, "variation_strength": 0.3}
    wanted: list[tuple[dict[str, Any], list[tuple[int, int, tuple[int, ...]]]]] = [
        ({}, [(7, 0, shape)]),
        ({"scheduler": "euler-a"}, [(7, number, shape) for number in range(3)]),
        ({"scheduler": "dpm2-a"}, [(7, number, shape) for number in range(2)]),
        ({"scheduler": "lcm"}, [(7, number, shape) for number in range(2)]),
        (image, [(7, 0, shape)]),
        ({**image, "mask": picture["mask"]}, [(7, 0, shape)]),
        (
            {"hires": 2, "strength": 0.7, **varied},
            [(7, 0, shape), (9, 0, shape), (7, 0, twice), (9, 0, twice)],
        ),
    ]
    for settings, draws in wanted:
        drawn.clear()
        generate(COMPONENTS, recipe(**settings))
        assert drawn == draws, settings


@pytest.mark.parametrize("scheduler", ["euler", "euler-a", "dpmpp-2m-sde"])
def test_a_batch_is_each_of_it_alone(scheduler: str) -> None:
    pair = [recipe(seed=seed, scheduler=scheduler) for seed in (1, 2)]
    together = generate(COMPONENTS, pair, batch_size=2)
    for one, both in zip(pair, together, strict=True):
        alone = generate(COMPONENTS, one)[0].latents
        torch.testing.assert_close(both.latents, alone, atol=5e-4, rtol=5e-4)
        cpu = generate(COMPONENTS, recipe(seed=one.seed, scheduler=scheduler, rng="cpu"))
        assert not torch.allclose(both.latents, cpu[0].latents, atol=0.05)


def ready(name: str) -> tuple[Any, Tensor]:
    scheduler = make_scheduler(COMPONENTS.scheduler_config, scheduler=name)
    timesteps, _ = set_steps(scheduler, 4)
    return scheduler, timesteps


def test_ancestral_noise_is_that_of_k_diffusion_in_a1111() -> None:
    """With a noise prediction of zero, a step of Euler a only adds its noise."""
    latents, seeds = torch.zeros(2, 4, 8, 8), [3, 4]
    scheduler, timesteps = ready("euler-a")
    seed_step_noise(scheduler, latents, seeds, rng="philox")
    generators, theirs = [Philox(seed) for seed in seeds], [Philox(seed) for seed in seeds]
    for generator in (*generators, *theirs):
        generator.normal((1, 4, 8, 8))  # the first noise
    for index, t in enumerate(timesteps[:-1]):
        before, after = scheduler.sigmas[index], scheduler.sigmas[index + 1]
        up = (after**2 * (before**2 - after**2) / before**2).sqrt()
        stepped = scheduler.step(torch.zeros_like(latents), t, latents, generator=generators)[0]
        wanted = torch.cat([one.normal((1, 4, 8, 8)) for one in theirs])
        torch.testing.assert_close((stepped - latents) / up, wanted, atol=1e-4, rtol=1e-4)
        latents = stepped


@pytest.mark.parametrize("name", ["dpmpp-sde", "dpmpp-2m-sde"])
def test_brownian_paths_are_those_of_a1111(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A1111 puts its own numbers into torchsde, and so all its SDE samplers have Brownian noise."""
    pytest.importorskip("torchsde", reason="pip install 'sdloop[schedulers]'")
    from diffusers.schedulers.scheduling_dpmsolver_sde import BrownianTreeNoiseSampler
    from torchsde._brownian import brownian_interval

    latents, seeds = torch.randn(2, 4, 8, 8), [3, 4]
    scheduler, timesteps = ready(name)
    given: list[Tensor] = []
    if name == "dpmpp-2m-sde":
        step = scheduler.step

        def watched(*arguments: Any, variance_noise: Tensor, **options: Any) -> Any:
            given.append(variance_noise)
            return step(*arguments, variance_noise=variance_noise, **options)

        scheduler.step = watched
    seed_step_noise(scheduler, latents, seeds, rng="philox")
    levels = scheduler.sigmas[scheduler.sigmas > 0].unique().flip(0)
    if name == "dpmpp-2m-sde":
        for t in timesteps:
            scheduler.step(torch.zeros_like(latents), t, latents, return_dict=False)
        assert not given[-1].any()  # the step to 0
    else:
        given = [scheduler.noise_sampler(a, b) for a, b in itertools.pairwise(levels)]

    monkeypatch.setattr(
        brownian_interval,
        "_randn",
        lambda size, dtype, device, seed: Philox(int(seed)).normal(size),
    )
    path = BrownianTreeNoiseSampler(latents, levels.min().item(), levels.max().item(), seeds)
    theirs = [path(a, b) for a, b in itertools.pairwise(levels)]
    assert len(theirs) >= 3
    for ours, wanted in zip(given, theirs, strict=False):
        torch.testing.assert_close(ours, wanted, atol=1e-5, rtol=1e-5)


def test_cpu_is_what_files_without_the_field_mean() -> None:
    """So the keys and the files of all pictures before it stay."""
    old, cpu = recipe(rng=None), recipe(rng="cpu")
    assert old == cpu
    assert "rng" not in cpu.to_dict()
    philox = recipe()
    assert philox.to_dict()["rng"] == "philox"
    assert Recipe.from_dict(philox.to_dict()) == philox
    assert content_key(old, {}) == content_key(cpu, {}) != content_key(philox, {})


def test_seeds_beyond_the_generator_are_refused() -> None:
    assert recipe(seed=2**64 - 1, variation_seed=2**32, variation_strength=0.1).seed == 2**64 - 1
    assert recipe().with_seed(2**40).seed == 2**40
    for settings, message in (
        ({"seed": 2**64}, f"seed must be at most {2**64 - 1}, got {2**64}"),
        ({"seed": 2**32, "rng": "cpu"}, f"seed must be at most {2**32 - 1}, got {2**32}"),
        (
            {"variation_seed": 2**32, "variation_strength": 0.1, "rng": None},
            f"variation_seed must be at most {2**32 - 1}, got {2**32}",
        ),
        ({"rng": "cuda"}, "rng must be one of cpu, philox, got 'cuda'"),
    ):
        with pytest.raises(SettingError, match=message):
            recipe(**settings)
    with pytest.raises(SettingError, match=f"seed must be at most {2**32 - 1}"):
        recipe(rng=None).with_seed(2**32)


def test_seeds_of_64_bits_make_pictures_of_their_own() -> None:
    one, other = (generate(COMPONENTS, recipe(seed=seed))[0].latents for seed in (7, 7 + 2**32))
    assert not torch.allclose(one, other, atol=0.05)


def test_the_steps_draw_from_another_seed_with_ensd(
    drawn: list[tuple[int, int, tuple[int, ...]]],
) -> None:
    """A1111 makes new generators after the initial noise, in both stages of hires."""
    settings = {"scheduler": "euler-a", "eta_noise_seed_delta": 31337}
    generate(COMPONENTS, recipe(**settings, hires=2, strength=0.5))
    wanted = [(7, 0), (31344, 0), (31344, 1), (7, 0), (31344, 0)]
    assert [(seed, number) for seed, number, _ in drawn] == wanted
    cpu = {**settings, "rng": "cpu"}
    one, other = (
        generate(COMPONENTS, recipe(**these))[0].latents
        for these in (cpu, {**cpu, "eta_noise_seed_delta": 1})
    )
    assert not torch.allclose(one, other, atol=0.05)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"scheduler": "euler"},
            "has no effect with the scheduler euler, got 5; it works with ddim",
        ),
        ({"scheduler": "dpmpp-2m-sde"}, "has no effect with the scheduler dpmpp-2m-sde"),
        ({"scheduler": "ddim"}, "needs eta above 0 with the scheduler ddim"),
        ({"scheduler": "euler-a", "eta_noise_seed_delta": 0}, "must be at least 1, got 0"),
    ],
)
def test_ensd_without_noise_in_the_steps_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=f"eta_noise_seed_delta {message}"):
        recipe(**{"eta_noise_seed_delta": 5, **settings})
    assert recipe(scheduler="ddim", eta=1, eta_noise_seed_delta=5).eta_noise_seed_delta == 5
