"""What the loop does to latents whose picture has too much of a loss: it moves them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import SamplingError
from sdloop.guidance.losses.ways import checkpointed
from sdloop.latents.vae import one_at_a_time, tiled, unscale, vae_factor
from sdloop.schedulers.schedule import Scheduler, moved, signal

# From one picture (1, 3, height, width), 0 to 1, to a number (1,) of which less is better.
Loss = Callable[[Tensor], Tensor]

# The latents of the notebook's pictures, of 512x512 pixels. A mean over pixels has a gradient that
# is smaller for each latent, the more there are: weighed so, a scale is as strong at any size.
USUAL_LATENTS = 64 * 64

# The sigma from which on the latents are noise and nothing else, as zero terminal SNR has it.
NO_PICTURE = 1e3


@dataclass(frozen=True, kw_only=True, slots=True)
class LossGuidance:
    """Moves latents down the gradient of a loss on the picture that they are predicted to be.

    ``losses`` has one for each picture of the batch, scales and all; ``every`` is in steps. Unless
    it is ``exact`` the gradient stops at the prediction: the noise in the latents is taken to be
    what the UNet says, wherever they are. Else it leads back through the UNet, and on to them.

    Source: the notebook "Stable Diffusion Deep Dive" (Whitaker, fast.ai 2022), "Guidance"; Dhariwal
    & Nichol 2021 (arXiv:2105.05233), section 4.
    """

    vae: Any
    losses: Sequence[Loss]
    every: int = 5
    exact: bool = False

    def iterations(self, steps: Sequence[int], sigmas: Sequence[float]) -> frozenset[int]:
        """In which iterations of the loop the latents move, given the step and the sigma of each.

        Where a step takes several iterations it is the first: the scheduler goes on from there.
        Where zero terminal SNR leaves nothing of a picture, nothing moves.

        >>> guidance = LossGuidance(vae=None, losses=(), every=2)
        >>> sorted(guidance.iterations([0, 0, 1, 1, 2, 2], [9.0] * 6))
        [0, 4]
        """
        first = {step: index for index, step in reversed(list(enumerate(steps)))}
        moving = (index for step, index in first.items() if step % self.every == 0)
        return frozenset(index for index in moving if sigmas[index] < NO_PICTURE)

    def __call__(
        self,
        latents: Tensor,
        noise_pred: Tensor,
        denoised: Tensor,
        scheduler: Scheduler,
        sigma: float,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """``latents`` whose picture has less of the loss, the prediction for them, ``denoised``.

        None of them remembers where it comes from. The step along the gradient is sigma squared,
        as long as there is doubt about the picture; the latents are taken for picture plus noise,
        whatever the scheduler's own terms.

        Raises ``SamplingError`` where the step would be longer than the latents are.
        """
        rows = torch.split(denoised.detach(), 1)
        gradient = torch.cat([self._gradient(*one) for one in zip(rows, self.losses, strict=True)])
        if self.exact:
            gradient = signal(scheduler, sigma) * led_back(denoised, latents, gradient)
        latents, noise_pred = latents.detach(), noise_pred.detach()
        share = latents.shape[-2] * latents.shape[-1] / USUAL_LATENTS
        by = -(sigma**2) * share * gradient
        _check_length(signal(scheduler, sigma) * by, latents, sigma)
        return *moved(scheduler, latents, noise_pred, by, sigma), denoised.detach()

    def _gradient(self, row: Tensor, loss: Loss) -> Tensor:
        """The loss's gradient on the clean latents of one picture, (1, channels, height, width)."""
        row = row.requires_grad_()
        with one_at_a_time, torch.enable_grad():
            picture = _decoded(self.vae, row)
            (on_picture,) = torch.autograd.grad(loss(picture).sum(), picture)
            return led_back(picture, row, on_picture)


def led_back(output: Tensor, source: Tensor, gradient: Tensor) -> Tensor:
    """The ``gradient`` on ``output`` led back to ``source``, from which that was computed.

    All have the shape (batch, channels, height, width). Each row is brought near 1 for the way, by
    a power of two: half precision would round what a mean over pixels leaves of each to nothing.
    """
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    unit = torch.where(largest > 0, largest.log2().floor().exp2(), 1.0)
    back: Tensor = torch.autograd.grad(output, source, gradient / unit)[0]
    return back * unit


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    """``image.decode`` for one picture, of which the way back is kept, if not all of it at once."""
    pixels = latents.shape[-2] * latents.shape[-1] * vae_factor(vae) ** 2
    with tiled(vae, pixels), checkpointed(vae):
        decoded: Tensor = vae.decode(
            unscale(vae, latents).to(vae.device, vae.dtype), return_dict=False
        )[0]
    return decoded.to(latents.device, latents.dtype) / 2 + 0.5


def _check_length(step: Tensor, latents: Tensor, sigma: float) -> None:
    """Raise ``SamplingError`` where a ``step`` is longer than the ``latents`` it starts from."""
    for length, whole in zip(_lengths(step), _lengths(latents), strict=True):
        if not length <= whole:  # not a number is no length
            raise SamplingError(
                f"losses would move the latents by {length / whole:.2g} times their own size at "
                f"sigma {sigma:.3g}, where nothing of the picture is left; remedy: scales that are "
                f"{whole / length:.2g} times these, or less"
            )


def _lengths(latents: Tensor) -> list[float]:
    lengths: list[float] = latents.flatten(1).norm(dim=1).tolist()
    return lengths
