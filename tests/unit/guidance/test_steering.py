"""Loss guidance: correct gradients, and no other change of the loop."""

import gc
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl
from torch import Tensor

from sdloop.conditioning.encode import condition
from sdloop.errors import SamplingError
from sdloop.guidance.losses import losses
from sdloop.guidance.losses.checkpointing import GradientCheckpointed
from sdloop.guidance.losses.loss_guidance import LossGuidance
from sdloop.latents.noise import noise, seeded_generators
from sdloop.latents.vae import unscale
from sdloop.loop import Step, denoise
from sdloop.models.components.load import Components
from sdloop.pipeline.generate import generate, stream
from sdloop.pipeline.picture import Picture
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.schedulers.names import SCHEDULERS
from sdloop.schedulers.schedule import denoised_latents, make_scheduler, moved, set_steps, signal

COMPONENTS = tiny_sd1()
MODES = pytest.mark.parametrize("exact", [False, True], ids=["cheap", "exact"])


def blue(pictures: Tensor) -> Tensor:
    return 50 * losses.channel_level(pictures, 2)


def steps(
    components: Components = COMPONENTS,
    *,
    unet: Any = None,
    start: Tensor | None = None,
    loss_guidance: Any = None,
    scheduler: Any = None,
    **settings: Any,
) -> Iterator[Step]:
    """The loop put together by hand; without a ``start`` it begins at the noise of seed 3."""
    recipe = resolve(Recipe(prompt="a cat", seed=3, **{"steps": 6} | settings), components)
    scheduler = scheduler or make_scheduler(components.scheduler_config, scheduler=recipe.scheduler)
    timesteps, sigmas = set_steps(scheduler, recipe.steps)
    generators = seeded_generators([recipe.seed])
    if start is None:
        start = noise(generators, 4, 8, 8) * scheduler.init_noise_sigma
    return denoise(
        unet or components.unet,
        scheduler,
        start,
        condition(components, recipe),
        timesteps=timesteps,
        sigmas=sigmas,
        guidance_scale=recipe.guidance_scale,
        generators=generators,
        loss_guidance=loss_guidance,
    )


class Watched:
    """Loss guidance that remembers what came of it."""

    def __init__(self, guidance: LossGuidance) -> None:
        self.guidance, self.exact, self.iterations = guidance, guidance.exact, guidance.iterations
        self.moves: list[tuple[Tensor, Tensor, float]] = []

    def __call__(
        self, latents: Tensor, noise_pred: Tensor, denoised: Tensor, scheduler: Any, sigma: float
    ) -> Any:
        before = latents.detach().clone()
        result = self.guidance(latents, noise_pred, denoised, scheduler, sigma)
        self.moves.append((before, result[0], sigma))
        return result


def in_double(components: Components) -> Components:
    parts = ("unet", "vae", "text_encoder", "text_encoder_2")
    named = {name: getattr(components, name) for name in parts}
    return replace(components, **{name: part and part.double() for name, part in named.items()})


FAMILIES = {
    "epsilon": (tiny_sd1, "euler"),
    "epsilon-ddim": (tiny_sd1, "ddim"),
    "v": (tiny_sd2, "euler"),
    "v-ddim": (tiny_sd2, "ddim"),
    "sdxl": (tiny_sdxl, "lms"),
}


@MODES
@pytest.mark.parametrize("family", FAMILIES)
def test_the_gradient_is_that_of_finite_differences(family: str, exact: bool) -> None:
    """In float64, along a random direction, through guidance and all."""
    make, name = FAMILIES[family]
    components = in_double(make())
    scheduler = make_scheduler(components.scheduler_config, scheduler=name)
    set_steps(scheduler, 6)
    drawn = noise(seeded_generators([5, 6, 7]), 4, 8, 8).double()
    start, direction = drawn[:1] * scheduler.init_noise_sigma, drawn[1:2]
    aim = drawn[2:, :3].repeat_interleave(2, -1).repeat_interleave(2, -2) / 4 + 0.5

    def loss(pictures: Tensor) -> Tensor:
        return (pictures - aim).square().mean(dim=(1, 2, 3)) + losses.roughness(pictures)

    def loss_of(denoised: Tensor) -> float:
        decoded = components.vae.decode(unscale(components.vae, denoised), return_dict=False)[0]
        return float(loss(decoded / 2 + 0.5).detach())

    def clean_at(latents: Tensor) -> Tensor:
        return next(steps(components, start=latents, scheduler=name_of(), **settings)).denoised

    def name_of() -> Any:
        return make_scheduler(components.scheduler_config, scheduler=name)

    settings: dict[str, Any] = {"guidance_scale": 3.0}
    unet = GradientCheckpointed(unet=components.unet) if exact else components.unet
    guidance = Watched(LossGuidance(vae=components.vae, losses=[loss], exact=exact))
    step = next(
        steps(
            components,
            unet=unet,
            start=start,
            loss_guidance=guidance,
            scheduler=name_of(),
            **settings,
        )
    )
    ((before, after, sigma),) = guidance.moves
    assert torch.equal(before, start)

    # The step in terms of picture plus noise, over what the formula multiplies the gradient by.
    own = signal(scheduler, sigma)
    gradient = (after - before) / own / -(sigma**2 * 64 / 4096)
    small = 1e-5
    if exact:  # wherever the latents are, the UNet looks again
        far, near = (clean_at(start + sign * small * own * direction) for sign in (1, -1))
    else:  # the noise in them stays, so that the picture moves with the latents
        far, near = (step.denoised + sign * small * direction for sign in (1, -1))
    expected = (loss_of(far) - loss_of(near)) / (2 * small)
    assert (gradient * direction).sum().item() == pytest.approx(expected, rel=2e-4, abs=1e-9)
    assert abs(expected) > 1e-7


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
def test_a_picture_moves_as_far_as_it_is_moved(scheduler: str, prediction: str) -> None:
    """And in every scheduler's own terms: the UNet finds it there, and as much noise as before."""
    known = SCHEDULERS[scheduler]
    if prediction == "sample" and "sample" not in known.knows:
        pytest.skip("it knows no such predictions")
    if "edm" in known.knows:
        config: dict[str, Any] = {"_class_name": known.class_name}
        if prediction == "sample":
            pytest.skip("EDM has no such predictions")
    else:
        config = dict(COMPONENTS.scheduler_config)
    made = make_scheduler(config | {"prediction_type": prediction}, scheduler=scheduler)
    timesteps, sigmas = set_steps(made, 5)
    turn, drawn = 0, noise(seeded_generators([1, 2, 3]), 4, 8, 8)
    t, sigma = timesteps[turn], sigmas[turn]
    latents, noise_pred, by = (drawn[:1] * made.init_noise_sigma, drawn[1:2], drawn[2:] * sigma)

    def seen(latents: Tensor, noise_pred: Tensor) -> tuple[Tensor, Tensor]:
        clean = denoised_latents(
            made, latents, made.scale_model_input(latents, t), noise_pred, sigma
        )
        return clean, latents - signal(made, sigma) * clean

    clean, rest = seen(latents, noise_pred)
    new_clean, new_rest = seen(*moved(made, latents, noise_pred, by, sigma))
    torch.testing.assert_close(new_clean, clean + by, rtol=1e-3, atol=1e-3 * sigma)
    torch.testing.assert_close(new_rest, rest, rtol=1e-3, atol=1e-3 * sigma)


def test_cheap_is_the_notebook() -> None:
    """Its own lines, with its scheduler, LMS; at 512x512 the scales would be the same."""
    vae, unet = COMPONENTS.vae, COMPONENTS.unet
    guidance = LossGuidance(vae=vae, losses=[lambda p: 50 * losses.channel_level(p, 2)], every=2)
    lms = make_scheduler(COMPONENTS.scheduler_config, scheduler="lms")
    ours = list(steps(loss_guidance=guidance, scheduler=lms))
    scheduler = make_scheduler(COMPONENTS.scheduler_config, scheduler="lms")
    set_steps(scheduler, 6)
    recipe = resolve(Recipe(prompt="a cat", seed=3, steps=6), COMPONENTS)
    text_embeddings = condition(COMPONENTS, recipe)
    (prompt, *_) = text_embeddings.over([0], guided=[True])
    latents = noise(seeded_generators([3]), 4, 8, 8) * scheduler.init_noise_sigma
    for i, t in enumerate(scheduler.timesteps):
        latent_model_input = torch.cat([latents] * 2)
        sigma = scheduler.sigmas[i]
        latent_model_input = scheduler.scale_model_input(latent_model_input, t)
        with torch.no_grad():
            noise_pred = unet(latent_model_input, t, **prompt)["sample"]
        noise_pred_uncond, noise_pred_text = noise_pred.chunk(2)
        noise_pred = noise_pred_uncond + 7.5 * (noise_pred_text - noise_pred_uncond)
        if i % 2 == 0:
            latents = latents.detach().requires_grad_()
            latents_x0 = latents - sigma * noise_pred
            denoised_images = vae.decode((1 / 0.18215) * latents_x0).sample / 2 + 0.5
            error = torch.abs(denoised_images[:, 2] - 0.9).mean()
            loss = error * 50 * (64 / 4096)
            cond_grad = torch.autograd.grad(loss, latents)[0]
            latents = latents.detach() - cond_grad * sigma**2
        latents = scheduler.step(noise_pred, t, latents).prev_sample
        torch.testing.assert_close(ours[i].latents, latents, rtol=1e-4, atol=1e-4)


class Seeing:
    """A UNet that remembers at which of its calls something was kept for a way back."""

    def __init__(self, unet: Any) -> None:
        self.unet, self.dtype, self.kept = unet, unet.dtype, []

    def __call__(self, *args: Any, **inputs: Any) -> Any:
        prediction = self.unet(*args, **inputs)
        self.kept.append(prediction[0].requires_grad)
        return prediction


@pytest.mark.parametrize(
    ("guidance", "kept"),
    [
        (None, [False] * 6),
        (LossGuidance(vae=COMPONENTS.vae, losses=[blue], every=3), [False] * 6),
        (
            LossGuidance(vae=COMPONENTS.vae, losses=[blue], every=3, exact=True),
            [True, False, False, True, False, False],
        ),
    ],
    ids=["none", "cheap", "exact"],
)
def test_a_way_back_is_kept_only_where_it_is_gone(
    guidance: LossGuidance | None, kept: list[bool]
) -> None:
    unet = Seeing(COMPONENTS.unet)
    scheduler = make_scheduler(COMPONENTS.scheduler_config, scheduler="dpmpp-2m")
    loop = steps(unet=unet, loss_guidance=guidance, scheduler=scheduler)
    last = None
    for last in loop:
        assert not last.latents.requires_grad
        assert not last.denoised.requires_grad
        assert torch.is_grad_enabled()
    assert unet.kept == kept
    assert not any(one.requires_grad for one in scheduler.model_outputs)
    del last, loop
    tensors = [one for one in gc.get_objects() if type(one) is Tensor]
    assert not any(one.grad_fn is not None for one in tensors)


def test_the_way_through_is_the_unet_and_leaves_it_as_it_was() -> None:
    plain = list(steps())[-1].latents
    nothing = [lambda p: 0 * p.sum(dim=(1, 2, 3))]
    guidance = LossGuidance(vae=COMPONENTS.vae, losses=nothing, exact=True)
    through = list(steps(unet=GradientCheckpointed(unet=COMPONENTS.unet), loss_guidance=guidance))[
        -1
    ].latents
    assert torch.equal(plain, through)
    assert not COMPONENTS.unet.is_gradient_checkpointing
    assert not COMPONENTS.vae.is_gradient_checkpointing


def test_with_checkpointing_the_gradient_is_the_same() -> None:
    guidance = LossGuidance(vae=COMPONENTS.vae, losses=[blue], every=1, exact=True)
    through = list(steps(unet=GradientCheckpointed(unet=COMPONENTS.unet), loss_guidance=guidance))[
        -1
    ].latents
    torch.testing.assert_close(list(steps(loss_guidance=guidance))[-1].latents, through)


@MODES
def test_writing_into_the_latents_still_changes_the_course(exact: bool) -> None:
    def last(change: Callable[[Step], object]) -> Tensor:
        guidance = LossGuidance(vae=COMPONENTS.vae, losses=[blue], every=1, exact=exact)
        for step in steps(loss_guidance=guidance):
            change(step)
        return step.latents

    halved = last(lambda step: step.latents.mul_(0.5) if step.index == 1 else None)
    assert not torch.allclose(last(lambda step: None), halved)


@pytest.mark.parametrize("scheduler", ["heun", "dpm2-a", "pndm", "unipc", "dpmpp-2m-sde"])
def test_each_scheduler_follows(scheduler: str) -> None:
    """Those that look twice in a step, or remember latents themselves, too."""
    plain, steered = (
        generate(COMPONENTS, wanted(scheduler=scheduler, **guide))[0]
        for guide in ({}, {"losses": ("blue=20000",), "loss_every": 1})
    )
    assert mean_blue(steered) > mean_blue(plain) + 0.001


def wanted(**settings: Any) -> Recipe:
    return Recipe(**{"prompt": "a cat", "seed": 3, "steps": 3} | settings)


def mean_blue(picture: Picture) -> float:
    (_, _, band) = picture.image.split()
    levels = list(band.get_flattened_data())
    return sum(levels) / len(levels) / 255


@pytest.mark.parametrize("mode", ["cheap", "exact"])
@pytest.mark.parametrize(
    ("make", "settings"),
    [
        (tiny_sd2, {}),
        (tiny_sdxl, {}),
        (tiny_sd1, {"prompt": "a cat AND a dog :0.5"}),
        (tiny_sd1, {"width": 48, "tile": 32, "steps": 2}),
        (tiny_sd1, {"guidance_scale": 1}),
        (tiny_sd1, {"hires": 1.5, "strength": 0.5, "steps": 2}),
    ],
    ids=["v", "sdxl", "AND", "windows", "unguided", "hires"],
)
def test_whatever_is_made_is_steered(make: Any, settings: dict[str, Any], mode: str) -> None:
    components = make()
    guide = {"losses": ("blue=20000",), "loss_mode": mode, "loss_every": 1}
    plain, steered = (
        list(stream(components, wanted(**settings | steering)))[-1] for steering in ({}, guide)
    )
    assert isinstance(plain, Picture)
    assert isinstance(steered, Picture)
    assert mean_blue(steered) > mean_blue(plain)


@pytest.mark.parametrize("mode", ["cheap", "exact"])
def test_a_picture_does_not_depend_on_its_batch(mode: str) -> None:
    guide = {"losses": ("blue=1000", "smooth=1000"), "loss_mode": mode, "loss_every": 2}
    recipes = [wanted(seed=seed, **guide) for seed in (3, 4)]
    together = generate(COMPONENTS, recipes, batch_size=2)
    apart = generate(COMPONENTS, recipes)
    for one, other in zip(together, apart, strict=True):
        torch.testing.assert_close(one.latents, other.latents, rtol=1e-3, atol=2e-4)


def test_what_explodes_is_caught_with_the_scale_that_would_not() -> None:
    with pytest.raises(SamplingError, match=r"losses would move the latents by .* own size at"):
        generate(COMPONENTS, wanted(losses=("blue=1e7",)))


def test_without_a_picture_in_the_latents_nothing_is_pulled() -> None:
    config = {**tiny_sd2().scheduler_config, "rescale_betas_zero_snr": True}
    components = replace(tiny_sd2(), scheduler_config=config | {"timestep_spacing": "trailing"})
    plain, steered = (
        [s.latents for s in stream(components, wanted(losses=g)) if isinstance(s, Step)]
        for g in (None, ("blue=100",))
    )
    assert torch.equal(plain[0], steered[0])
    assert steered[-1].isfinite().all()


def test_half_precision_loses_no_gradient() -> None:
    """What a mean over pixels leaves of each would be nothing in float16's numbers."""
    vae = tiny_sd1().vae
    tiny = [lambda p: 1e-6 * losses.channel_level(p, 2)]
    row = noise(seeded_generators([4]), 4, 8, 8)
    full = LossGuidance(vae=vae, losses=tiny).gradient(row.clone(), tiny[0])
    vae.to(torch.float16)
    half = LossGuidance(vae=vae, losses=tiny).gradient(row.clone(), tiny[0])
    torch.testing.assert_close(half / full.abs().max(), full / full.abs().max(), rtol=0, atol=0.05)


def test_the_mask_and_the_inpainting_unet_go_with_it(tmp_path: Any) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32), "red").save(tmp_path / "red.png")
    Image.new("L", (32, 32), 255).save(tmp_path / "mask.png")
    components = tiny_inpaint("sd1")
    painted = {"image": str(tmp_path / "red.png"), "mask": str(tmp_path / "mask.png")}
    plain, steered = (
        generate(components, wanted(**painted, losses=losses, loss_every=losses and 1))[0]
        for losses in (None, ("blue=20000",))
    )
    assert mean_blue(steered) > mean_blue(plain)


@pytest.mark.parametrize(
    "settings",
    [
        {"guidance": "apg"},
        {"guidance": "threshold"},
        {"pag_scale": 2.0},
        {"guidance_schedule": "linear:1..5"},
    ],
    ids=str,
)
def test_other_guidance_leaves_nothing_behind(settings: dict[str, Any]) -> None:
    """Some of it remembers what it saw: a way back through that would grow with every step."""
    guide = {"losses": ("blue=3000",), "loss_mode": "exact", "loss_every": 2}
    for step in stream(COMPONENTS, wanted(**settings, **guide)):
        assert not step.latents.requires_grad
        if isinstance(step, Step):
            assert not step.denoised.requires_grad


def test_a_picture_in_tiles_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sdloop.latents.vae_memory.WHOLE_PIXELS", 64 * 64)
    monkeypatch.setattr("sdloop.latents.vae_memory.TILE", 48)
    large = {"width": 80, "height": 80, "guidance_scale": 1, "steps": 1}
    plain, steered = (
        generate(COMPONENTS, wanted(**large, **guide))[0]
        for guide in ({}, {"losses": ("blue=20000",), "loss_every": 1})
    )
    assert mean_blue(steered) > mean_blue(plain)


@MODES
def test_bfloat16_is_steered(exact: bool) -> None:
    parts = {"unet": tiny_sd1().unet.bfloat16(), "vae": tiny_sd1().vae.bfloat16()}
    half = replace(COMPONENTS, **parts, text_encoder=tiny_sd1().text_encoder.bfloat16())
    guidance = Watched(LossGuidance(vae=half.vae, losses=[blue], exact=exact))
    unet = GradientCheckpointed(unet=half.unet) if exact else half.unet
    next(steps(half, unet=unet, loss_guidance=guidance))
    reference = Watched(LossGuidance(vae=COMPONENTS.vae, losses=[blue], exact=exact))
    next(steps(loss_guidance=reference))
    ((before, after, _),), ((start, expected, _),) = guidance.moves, reference.moves
    assert torch.equal(before, start)
    ours, theirs = (after - before).flatten(), (expected - start).flatten()
    assert torch.nn.functional.cosine_similarity(ours, theirs, dim=0) > 0.95
