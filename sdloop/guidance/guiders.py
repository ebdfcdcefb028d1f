"""Guiders: functions that the loop calls to combine two predictions into one."""

from dataclasses import dataclass, field
from math import sqrt
from typing import Any, NamedTuple, Protocol

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


class Noisy(NamedTuple):
    """The UNet's input and its noise level: with them a prediction tells the clean picture."""

    latent_input: Tensor
    sigma: float

    def denoised(self, noise_pred: Tensor, prediction_type: str) -> Tensor:
        """The clean picture: see ``predict_denoised``."""
        return predict_denoised(self.latent_input, noise_pred, self.sigma, prediction_type)

    def noise_pred(self, denoised: Tensor, prediction_type: str) -> Tensor:
        """The prediction that gives this clean picture."""
        return predict_from_denoised(self.latent_input, denoised, self.sigma, prediction_type)


class Guide(Protocol):
    """Combine the unconditional prediction and the prompt's, with this iteration's ``scale``.

    All are of shape (batch, channels, height, width), and each picture is guided separately. ``at``
    is where the UNet was: some guides compute the clean picture from a prediction. At a scale of 1
    there is no unconditional prediction, and the guide is not called. A guide that keeps state is
    for one run of the loop only.
    """

    def __call__(
        self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy
    ) -> Tensor: ...


def plain(noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
    """Classifier-free guidance, which does not need ``at``."""
    return classifier_free_guidance(noise_uncond, noise_text, scale)


def rescaled(guide: Guide, guidance_rescale: float) -> Guide:
    """``guide``, without a share of the contrast that it adds: see ``rescale_guidance``."""

    def rescaling(noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        noise_pred = guide(noise_uncond, noise_text, scale, at)
        return rescale_guidance(noise_pred, noise_text, guidance_rescale)

    return rescaling


@dataclass(frozen=True, kw_only=True, slots=True)
class Thresholded:
    """Classifier-free guidance with dynamic thresholding of the clean latents.

    Latents have no fixed range as pixels have, but every model scales them to a standard deviation
    of about 1: a ``limit`` of 3 does not change pictures made with little guidance.
    """

    prediction_type: str
    percentile: float
    limit: float

    def __call__(self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        noise_pred = classifier_free_guidance(noise_uncond, noise_text, scale)
        denoised = at.denoised(noise_pred, self.prediction_type)
        denoised = threshold_dynamically(denoised, self.limit, self.percentile)
        return at.noise_pred(denoised, self.prediction_type)


# The paper's maximum length of an update: 15 for SDXL's latents of 4x128x128 and 7.5 for SD's of
# 4x64x64, so it grows with the square root of their number of values.
_APG_NORM = 15 / sqrt(4 * 128 * 128)


@dataclass(kw_only=True, slots=True)
class Projected:
    """Adaptive projected guidance: see ``formulas.project_guidance``.

    ``norm`` None is the paper's value, adapted to the size of the latents.
    """

    prediction_type: str
    eta: float
    momentum: float
    norm: float | None
    _update: Tensor | None = field(default=None, init=False)

    def __call__(self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        uncond = at.denoised(noise_uncond, self.prediction_type)
        text = at.denoised(noise_text, self.prediction_type)
        update = with_momentum(text - uncond, self._update, self.momentum)
        self._update = update.detach()  # gradients flow only through this iteration
        norm = _APG_NORM * sqrt(text[0].numel()) if self.norm is None else self.norm
        denoised = project_guidance(update, text, scale, eta=self.eta, norm=norm)
        return at.noise_pred(denoised, self.prediction_type)


@dataclass(frozen=True, kw_only=True, slots=True)
class ZeroStar:
    """CFG-Zero*: see ``formulas.guidance_from_zero_star``.

    Above the noise level ``zero_above`` the prediction is zero. This is meant for flow models: with
    a UNet, a prediction of zero leaves more noise in the latents than the next step expects.
    """

    zero_above: float

    def __call__(self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        if at.sigma > self.zero_above:
            return noise_text * 0
        return guidance_from_zero_star(noise_uncond, noise_text, scale)


@dataclass(kw_only=True, slots=True)
class Renoising:
    """CFG++: a guide, and a scheduler that adds back the noise of the unconditional prediction.

    The clean picture is guided, with a scale of 0 to 1, but each step adds back the unconditional
    noise prediction. So the latents stay where the model expects them, unlike with classifier-free
    guidance, which adds back the guided noise. The scheduler steps with ``noise_uncond``, and the
    result is then moved by the change that guidance made to the clean picture. Without guidance, it
    is the plain scheduler.

    Source: Chung et al. 2024 (arXiv:2406.08070), algorithm 2. For DDIM and Euler.
    """

    scheduler: Scheduler
    _unguided: tuple[Tensor, Noisy] | None = field(default=None, init=False)

    def guide(self, noise_uncond: Tensor, noise_text: Tensor, scale: float, at: Noisy) -> Tensor:
        self._unguided = noise_uncond, at
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
        if self._unguided is None:
            stepped: tuple[Tensor] = self.scheduler.step(noise_pred, t, latents, **options)
            return stepped
        (noise_uncond, at), self._unguided = self._unguided, None
        clean, unguided = (self._clean(one, at) for one in (noise_pred, noise_uncond))
        moved = _signal_next(self.scheduler, t) * (clean - unguided)
        return (self.scheduler.step(noise_uncond, t, latents, **options)[0] + moved,)

    def _clean(self, noise_pred: Tensor, at: Noisy) -> Tensor:
        """The clean picture as the scheduler computes it: DDIM may be configured to clip it."""
        config = self.scheduler.config
        clean = at.denoised(noise_pred, config.prediction_type)
        if not config.get("clip_sample"):
            return clean
        return clean.clamp(-config.clip_sample_range, config.clip_sample_range)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.scheduler, name)


def _is_ddim(scheduler: Scheduler) -> bool:
    return type(scheduler).__name__ == "DDIMScheduler"


def _signal_next(scheduler: Scheduler, t: Tensor) -> float:
    """The factor of the clean picture in the latents after the step from ``t``.

    For Euler it is 1 (latents are picture plus noise); DDIM keeps the variance constant.
    """
    if not _is_ddim(scheduler):
        return 1.0
    after = int(t) - scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    level = scheduler.alphas_cumprod[after] if after >= 0 else scheduler.final_alpha_cumprod
    return sqrt(level)
