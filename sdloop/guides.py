"""What the loop calls to make one prediction of two: guidance, in the form that it takes there."""

from typing import Protocol

from torch import Tensor

from sdloop.guidance import classifier_free_guidance, rescale_guidance
from sdloop.recipe import Recipe


class Guide(Protocol):
    """One prediction out of the unconditional one and the prompt's, at the turn's ``scale``.

    All are of shape (batch, channels, height, width), and each picture is guided by itself.
    ``latent_input`` is what the UNet saw, ``sigma`` how noisy that is: with both, what a prediction
    takes the clean picture to be follows (see ``schedule.predict_denoised``). Turns with a scale
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


def guide_of(recipe: Recipe) -> Guide:
    """The guide of a resolved Recipe, made anew for each run of the loop."""
    guide: Guide = plain
    return rescaled(guide, recipe.guidance_rescale) if recipe.guidance_rescale else guide
