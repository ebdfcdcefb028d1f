"""Guidance formulas, compared with their papers and with diffusers."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler
from diffusers.guiders import AdaptiveProjectedGuidance, ClassifierFreeZeroStarGuidance
from helpers.tiny import tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.errors import SettingError
from sdloop.guidance.formulas import (
    classifier_free_guidance,
    guidance_from_zero_star,
    project_guidance,
    rescale_guidance,
    threshold_dynamically,
    with_momentum,
)
from sdloop.guidance.guiders import Guide, Noisy
from sdloop.loop import Step
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.guide import guided_by
from sdloop.recipe.recipe import Recipe
from sdloop.schedulers.prediction import predict_denoised, predict_from_denoised
from sdloop.schedulers.schedule import make_scheduler, noise_levels, set_steps

FAMILIES: dict[str, Callable[[], Components]] = {
    "sd1": tiny_sd1,
    "sd2": tiny_sd2,
    "sdxl": tiny_sdxl,
}
GUIDANCES = ("apg", "threshold:limit=1", "cfg-zero", "cfg++")


def noise(seed: int, *, batch: int = 2, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, 4, 6, 5, generator=generator, dtype=dtype)


def recipe(**settings: Any) -> Recipe:
    usual = {"prompt": "a cat", "seed": 7, "steps": 4, "width": 32, "height": 24}
    scale = {} if "guidance_schedule" in settings else {"guidance_scale": 7.5}
    return Recipe(**{**usual, **scale, **settings})


def last_latents(components: Components, wanted: Recipe) -> Tensor:
    return generate(components, wanted)[0].latents


def guide_for(wanted: Recipe, prediction_type: str = "epsilon") -> tuple[Guide, Any]:
    config = {"_class_name": "DDIMScheduler", "beta_schedule": "scaled_linear",
              "prediction_type": prediction_type}  # fmt: skip
    scheduler = make_scheduler(config, scheduler=wanted.scheduler)
    set_steps(scheduler, wanted.steps)
    return guided_by(wanted, scheduler)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("sigma", [0.03, 1.0, 14.6])
def test_a_prediction_and_the_picture_that_it_implies_are_two_ways_of_saying_it(
    kind: str, sigma: float
) -> None:
    seen, predicted = noise(0, dtype=torch.float64), noise(1, dtype=torch.float64)
    clean = predict_denoised(seen, predicted, sigma, kind)
    torch.testing.assert_close(predict_from_denoised(seen, clean, sigma, kind), predicted)


@pytest.mark.parametrize("limit", [1.0, 2.5])
def test_thresholding_is_that_of_diffusers_ddim(limit: float) -> None:
    theirs = DDIMScheduler(thresholding=True, dynamic_thresholding_ratio=0.9, sample_max_value=99)
    clean = noise(0) * torch.tensor([5.0, 0.1])[:, None, None, None]
    ours = threshold_dynamically(clean * limit, limit, 0.9)
    torch.testing.assert_close(ours, theirs._threshold_sample(clean) * limit)
    assert torch.equal(ours[1], clean[1] * limit)  # which was within the limits


@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("norm", [0.0, 1.0, 100.0])
def test_apg_is_diffusers_guider_over_several_turns(eta: float, norm: float) -> None:
    theirs = AdaptiveProjectedGuidance(
        guidance_scale=6.5,
        adaptive_projected_guidance_momentum=-0.5,
        adaptive_projected_guidance_rescale=norm,
        eta=eta,
        use_original_formulation=True,
    )
    update = None
    for turn in range(3):
        uncond, text = noise(turn), noise(turn + 10)
        theirs.set_state(turn, 3, torch.tensor(999))
        theirs.prepare_inputs({"latents": (text, uncond)})
        update = with_momentum(text - uncond, update, -0.5)
        ours = project_guidance(update, text, 7.5, eta=eta, norm=norm)
        torch.testing.assert_close(ours, theirs.forward(text, uncond).pred)


def test_apg_with_everything_kept_is_classifier_free_guidance() -> None:
    uncond, text = noise(0), noise(1)
    ours = project_guidance(text - uncond, text, 7.5, eta=1, norm=0)
    torch.testing.assert_close(ours, classifier_free_guidance(uncond, text, 7.5))
    # And what it leaves out is what makes the picture stronger.
    left = project_guidance(text - uncond, text, 7.5, eta=0, norm=0) - text
    along = (left * text).flatten(1).sum(dim=1)
    torch.testing.assert_close(along, torch.zeros(2), atol=1e-4, rtol=0)


def test_cfg_zero_star_is_diffusers_guider() -> None:
    theirs = ClassifierFreeZeroStarGuidance(guidance_scale=7.5, zero_init_steps=0)
    theirs.set_state(1, 5, torch.tensor(999))
    uncond, text = noise(0), noise(1)
    torch.testing.assert_close(
        guidance_from_zero_star(uncond, text, 7.5), theirs.forward(text, uncond).pred
    )


def test_cfg_zero_stars_first_predictions_are_zero_if_asked_for() -> None:
    wanted = recipe(guidance="cfg-zero:zero=2", scheduler="euler")
    guide, scheduler = guide_for(wanted)
    uncond, text = noise(0), noise(1)
    empty = [
        not guide(uncond, text, 7.5, Noisy(noise(2), sigma)).any()
        for sigma in noise_levels(scheduler)
    ]
    assert empty == [True, True, False, False]
    first, second, *_ = (one for one in stream(tiny_sd1(), wanted) if isinstance(one, Step))
    assert torch.equal(first.latents, second.latents)  # Euler has gone nowhere


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_a_norm_of_apg_is_the_papers_for_latents_of_any_size(kind: str) -> None:
    """15 for SDXL's and 7.5 for SD's, in its table 10."""
    for shape, norm in (((1, 4, 128, 128), 15.0), ((1, 4, 64, 64), 7.5)):
        seen, uncond, text = (torch.randn(shape) for _ in range(3))
        made = []
        for guidance in ("apg", f"apg:norm={norm}"):
            guide, _ = guide_for(recipe(guidance=guidance, scheduler="ddim"), kind)
            made.append(guide(uncond, text, 7.5, Noisy(seen, 2.0)))
        torch.testing.assert_close(made[0], made[1])
        clean = predict_denoised(seen, made[0], 2.0, kind)
        text = predict_denoised(seen, text, 2.0, kind)
        length = (clean - text).norm() / 6.5
        assert length <= norm + 1e-3


@pytest.mark.parametrize("guidance", GUIDANCES)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_each_picture_is_guided_by_itself_and_gradients_pass(guidance: str, kind: str) -> None:
    scale = 0.6 if guidance == "cfg++" else 7.5
    wanted = recipe(
        guidance=guidance, guidance_scale=scale, scheduler="euler", guidance_rescale=0.3
    )

    def turns(rows: slice) -> list[Tensor]:
        guide, _ = guide_for(wanted, kind)
        return [
            guide(noise(turn)[rows], noise(turn + 9)[rows], scale,
                  Noisy(noise(turn + 20)[rows], sigma))
            for turn, sigma in enumerate((9.0, 3.0, 0.4))
        ]  # fmt: skip

    both = turns(slice(None))
    for row in (0, 1):
        alone = turns(slice(row, row + 1))
        for one, two in zip(alone, both, strict=True):
            torch.testing.assert_close(one, two[row : row + 1])

    def guided(uncond: Tensor, text: Tensor, seen: Tensor) -> Tensor:
        guide, _ = guide_for(wanted, kind)
        made: Tensor = guide(uncond, text, scale, Noisy(seen, 1.5))
        return made

    inputs = [noise(n, batch=1, dtype=torch.float64)[..., :2, :2] for n in range(3)]
    assert torch.autograd.gradcheck(guided, [one.requires_grad_() for one in inputs])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    "scheduler", ["ddim", "euler", pytest.param("heun", marks=pytest.mark.slow)]
)
def test_every_guidance_changes_every_family(family: str, scheduler: str) -> None:
    components = FAMILIES[family]()
    made = [last_latents(components, recipe(scheduler=scheduler))]
    for guidance in GUIDANCES:
        if guidance != "cfg++":
            made.append(last_latents(components, recipe(scheduler=scheduler, guidance=guidance)))
        elif scheduler != "heun":
            plus = recipe(scheduler=scheduler, guidance=guidance, guidance_scale=0.6)
            made.append(last_latents(components, plus))
    made.append(last_latents(components, recipe(scheduler=scheduler, guidance_rescale=0.5)))
    for index, one in enumerate(made):
        assert one.isfinite().all()
        assert not any(torch.allclose(one, other) for other in made[:index])


def test_a_limit_that_nothing_reaches_changes_nothing() -> None:
    components = tiny_sd1()
    plain = last_latents(components, recipe())
    kept = last_latents(components, recipe(guidance="threshold:limit=1000"))
    torch.testing.assert_close(kept, plain, atol=1e-3, rtol=1e-3)
    whole = last_latents(components, recipe(guidance="apg:eta=1:momentum=0:norm=0"))
    torch.testing.assert_close(whole, plain, atol=1e-3, rtol=1e-3)


def test_rescaling_comes_after_the_guidance() -> None:
    wanted = recipe(guidance="cfg-zero", guidance_rescale=0.7, scheduler="euler")
    guide, _ = guide_for(wanted)
    uncond, text = noise(0), noise(1)
    made = guide(uncond, text, 7.5, Noisy(noise(2), 1.0))
    star = guidance_from_zero_star(uncond, text, 7.5)
    assert torch.equal(made, rescale_guidance(star, text, 0.7))


class Recorded:
    """A UNet that says of every call how many rows it had."""

    def __init__(self, unet: Any) -> None:
        self.unet, self.dtype, self.rows = unet, unet.dtype, list[int]()

    def __call__(self, sample: Tensor, *args: Any, **inputs: Any) -> Any:
        self.rows.append(len(sample))
        return self.unet(sample, *args, **inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.unet, name)


def rows_of(components: Components, wanted: Recipe, **options: Any) -> list[int]:
    """How many rows the UNet sees at each of its turns."""
    import dataclasses

    unet = Recorded(components.unet)
    generate(dataclasses.replace(components, unet=unet), wanted, **options)
    return unet.rows


def sigmas_of(wanted: Recipe) -> Sequence[float]:
    return generate(tiny_sd1(), wanted)[0].sigmas


def test_beside_an_interval_the_unet_runs_once() -> None:
    wanted = recipe(scheduler="euler", steps=6)
    sigmas = sigmas_of(wanted)
    inside = recipe(scheduler="euler", steps=6, guidance_interval=f"{sigmas[4]}..{sigmas[2]}")
    assert rows_of(tiny_sd1(), inside) == [1, 1, 2, 2, 1, 1]  # above the lower end, up to the upper
    assert rows_of(tiny_sd1(), wanted) == [2] * 6
    whole = recipe(scheduler="euler", steps=6, guidance_interval="0..1000")
    assert torch.equal(last_latents(tiny_sd1(), whole), last_latents(tiny_sd1(), wanted))


def test_an_interval_lies_at_the_same_noise_whatever_runs() -> None:
    """In the second stage of an enlarged picture, too, which begins with less noise."""
    wanted = recipe(scheduler="euler", steps=10, guidance_interval="..1", hires=2, strength=0.5)
    made = generate(tiny_sd1(), wanted)[0]
    assert len(made.sigmas) == 15
    assert rows_of(tiny_sd1(), wanted) == [2 if sigma <= 1 else 1 for sigma in made.sigmas]
    # And one that only the first of them reaches is no mistake.
    early = recipe(scheduler="euler", steps=10, guidance_interval="5..", hires=2, strength=0.2)
    assert set(rows_of(tiny_sd1(), early)[10:]) == {1}


def test_an_interval_without_a_step_is_refused() -> None:
    wanted = recipe(scheduler="euler", guidance_interval="100..200")
    with pytest.raises(
        SettingError, match=r"guidance_interval must contain .* got 100\.\.200; they"
    ):
        generate(tiny_sd1(), wanted)


@pytest.mark.parametrize(
    ("schedule", "scales"),
    [
        ("linear:1..9", [1, 3, 5, 7, 9]),
        ("linear:9..1", [9, 7, 5, 3, 1]),
        ("cosine:1..9", [1, 5 - 4 * math.sqrt(0.5), 5, 5 + 4 * math.sqrt(0.5), 9]),
        ("3", [3] * 5),
        ("1,3,7", [1, 2, 3, 5, 7]),
        ("1,2,3,4,8", [1, 2, 3, 4, 8]),
    ],
)
def test_a_schedule_is_over_the_steps(
    schedule: str, scales: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[float] = []

    def guide(uncond: Tensor, text: Tensor, scale: float, at: Noisy) -> Tensor:
        told.append(scale)
        return text

    monkeypatch.setattr(
        "sdloop.pipeline.passes.guided_by", lambda recipe, scheduler: (guide, scheduler)
    )
    for scheduler, turns in (("euler", 1), ("heun", 2)):
        told.clear()
        generate(tiny_sd1(), recipe(steps=5, scheduler=scheduler, guidance_schedule=schedule))
        expected = [scale for scale in scales for _ in range(turns)][: 5 * turns - turns + 1]
        assert told == pytest.approx([scale for scale in expected if scale != 1])


def test_what_starts_from_a_picture_has_the_end_of_the_schedule() -> None:
    wanted = recipe(
        steps=10, scheduler="euler", guidance_schedule="linear:1..10", hires=2, strength=0.3
    )
    components = tiny_sd1()
    assert rows_of(components, wanted) == [1, *[2] * 9, *[2] * 3]
    constant = recipe(steps=10, scheduler="euler", guidance_schedule="7.5", hires=2, strength=0.3)
    plain = recipe(steps=10, scheduler="euler", hires=2, strength=0.3)
    assert torch.equal(last_latents(components, constant), last_latents(components, plain))


def test_a_batch_is_guided_as_each_of_it_alone() -> None:
    components = tiny_sd2()
    for guidance in GUIDANCES:
        scale = 0.6 if guidance == "cfg++" else 7.5
        settings = {"guidance": guidance, "guidance_scale": scale, "scheduler": "ddim"}
        pair = [recipe(seed=seed, prompt=f"a {seed}", **settings) for seed in (1, 2)]
        together = generate(components, pair, batch_size=2)
        for one, picture in zip(pair, together, strict=True):
            alone = last_latents(components, one)
            torch.testing.assert_close(picture.latents, alone, atol=2e-4, rtol=2e-4)


@pytest.mark.parametrize("mode", ["cheap", "exact"])
def test_a_loss_pulls_beside_every_guidance(mode: str) -> None:
    components = tiny_sd1()
    usual = {"scheduler": "euler", "loss_every": 2, "loss_mode": mode}
    for settings in (
        {"guidance": "apg", "guidance_interval": "0.1..5"},
        {"guidance": "threshold", "pag_scale": 2},
    ):
        free = last_latents(components, recipe(**settings, scheduler="euler"))
        steps = [
            one
            for one in stream(components, recipe(**settings, **usual, losses=("blue=30",)))
            if isinstance(one, Step)
        ]
        assert not any(step.latents.requires_grad for step in steps)
        assert steps[-1].latents.isfinite().all()
        assert not torch.allclose(steps[-1].latents[0], free)
