"""What the loop calls to make one prediction of two: guidance, in the form that it takes there."""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, Protocol

from torch import Tensor

from sdloop.guidance.formulas import (
    classifier_free_guidance,
    guidance_from_zero_star,
    project_guidance,
    rescale_guidance,
    threshold_dynamically,
    with_momentum,
)
from sdloop.schedulers.prediction import predict_denoised, predict_from_denoised
from sdloop.schedulers.schedule import Scheduler


class Guide(Protocol):
    """One prediction out of the unconditional one and the prompt's, at the turn's ``scale``.

    All are of shape (batch, channels, height, width), and each picture is guided by itself.
    ``latent_input`` is what the UNet saw, ``sigma`` how noisy that is: with both, what a prediction
    takes the clean picture to be follows (see ``predict_denoised``). Turns with a scale
    of 1 have no unconditional prediction and no call. A guide that remembers what it has seen is
    for one run of the loop.
    """

    def __call__(
        self,
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor: ...


def plain(
    noise_uncond: Tensor, noise_text: Tensor, scale: float, *, latent_input: Tensor, sigma: float
) -> Tensor:
    """Classifier-free guidance, which asks neither for the latents nor for their noise."""
    return classifier_free_guidance(noise_uncond, noise_text, scale)


def rescaled(guide: Guide, guidance_rescale: float) -> Guide:
    """``guide``, with a share of the contrast taken back that it adds: see ``rescale_guidance``."""

    def rescaling(
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor:
        noise_pred = guide(noise_uncond, noise_text, scale, latent_input=latent_input, sigma=sigma)
        return rescale_guidance(noise_pred, noise_text, guidance_rescale)

    return rescaling


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholded:
    """Classifier-free guidance whose clean picture stays within a range.

    Latents have no bounds as pixels have, but every model's are scaled to a deviation of about 1:
    a ``limit`` of 3 leaves pictures alone that were made with little guidance.
    """

    prediction_type: str
    percentile: float
    limit: float

    def __call__(
        self,
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor:
        noise_pred = classifier_free_guidance(noise_uncond, noise_text, scale)
        kind = self.prediction_type
        denoised = predict_denoised(latent_input, noise_pred, sigma, kind)
        denoised = threshold_dynamically(denoised, self.limit, self.percentile)
        return predict_from_denoised(latent_input, denoised, sigma, kind)


# The longest update that the paper allows, per value: 15 for SDXL's latents of 4x128x128, and 7.5
# for those of SD at 4x64x64.
_APG_NORM = 15 / sqrt(4 * 128 * 128)


@dataclass(kw_only=True, slots=True)
class Projected:
    """Adaptive projected guidance: see ``guidance.project_guidance``.

    ``norm`` None is the paper's, as its models have it, for latents of any size.
    """

    prediction_type: str
    eta: float
    momentum: float
    norm: float | None
    _update: Tensor | None = field(default=None, init=False)

    def __call__(
        self,
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor:
        kind = self.prediction_type
        uncond = predict_denoised(latent_input, noise_uncond, sigma, kind)
        text = predict_denoised(latent_input, noise_text, sigma, kind)
        update = with_momentum(text - uncond, self._update, self.momentum)
        self._update = update.detach()  # a gradient leads back through this turn alone
        norm = _APG_NORM * sqrt(text[0].numel()) if self.norm is None else self.norm
        denoised = project_guidance(update, text, scale, eta=self.eta, norm=norm)
        return predict_from_denoised(latent_input, denoised, sigma, kind)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroStar:
    """CFG-Zero*: see ``guidance.guidance_from_zero_star``.

    At a noise above ``zero_above`` the prediction is all zeros, which is for flow models: a UNet's
    zero noise leaves more of it in the latents than the next step expects.
    """

    zero_above: float

    def __call__(
        self,
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor:
        if sigma > self.zero_above:
            return noise_text * 0
        return guidance_from_zero_star(noise_uncond, noise_text, scale)


@dataclass(kw_only=True, slots=True)
class Renoising:
    """CFG++: a guide, and a scheduler that adds back the noise of the unconditional prediction.

    The clean picture is guided, with a scale of 0 to 1, and what is added to it at each step is
    the noise that the UNet saw without the prompt: so the latents stay where the model expects
    them, and classifier-free guidance, which adds the guided noise, leaves them. The scheduler
    steps along ``noise_uncond``, and is then moved by what guidance changed in the clean picture.
    Where there was no guidance, it is the scheduler as it is.

    Source: Chung et al. 2024 (arXiv:2406.08070), algorithm 2. For DDIM and Euler.
    """

    scheduler: Scheduler
    _seen: tuple[Tensor, Tensor, float] | None = field(default=None, init=False)

    def guide(
        self,
        noise_uncond: Tensor,
        noise_text: Tensor,
        scale: float,
        *,
        latent_input: Tensor,
        sigma: float,
    ) -> Tensor:
        self._seen = noise_uncond, latent_input, sigma
        return classifier_free_guidance(noise_uncond, noise_text, scale)

    def step(
        self,
        noise_pred: Tensor,
        t: Tensor,
        latents: Tensor,
        eta: float = 0.0,
        generator: Any = None,
        return_dict: bool = True,
    ) -> tuple[Tensor]:
        assert not return_dict, "the loop takes tuples"
        options: dict[str, Any] = {"generator": generator, "return_dict": False}
        if _is_ddim(self.scheduler):
            options["eta"] = eta
        if self._seen is None:
            stepped: tuple[Tensor] = self.scheduler.step(noise_pred, t, latents, **options)
            return stepped
        (noise_uncond, latent_input, sigma), self._seen = self._seen, None
        clean, unguided = (
            self._clean(one, latent_input, sigma) for one in (noise_pred, noise_uncond)
        )
        moved = _signal_next(self.scheduler, t) * (clean - unguided)
        return (self.scheduler.step(noise_uncond, t, latents, **options)[0] + moved,)

    def _clean(self, noise_pred: Tensor, latent_input: Tensor, sigma: float) -> Tensor:
        """What the scheduler takes the clean picture to be: DDIM's may be set to clip it."""
        config = self.scheduler.config
        clean = predict_denoised(latent_input, noise_pred, sigma, config.prediction_type)
        if not config.get("clip_sample"):
            return clean
        return clean.clamp(-config.clip_sample_range, config.clip_sample_range)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)


def _is_ddim(scheduler: Scheduler) -> bool:
    return type(scheduler).__name__ == "DDIMScheduler"


def _signal_next(scheduler: Scheduler, t: Tensor) -> float:
    """How much of the clean picture is in the latents after the step from ``t``.

    Euler's are the picture under its noise, DDIM's are of one variance at every step.
    """
    if not _is_ddim(scheduler):
        return 1.0
    after = int(t) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    level = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod
    return sqrt(level)
