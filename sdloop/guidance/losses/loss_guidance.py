"""Loss guidance: the loop moves the latents down the gradient of a loss on the picture."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from sdloop.errors import SamplingError
from sdloop.guidance.losses.checkpointing import checkpointed
from sdloop.latents.vae import unscale
from sdloop.latents.vae_memory import one_at_a_time, tiled, vae_factor
from sdloop.models.components.device import deterministic_gradients
from sdloop.models.components.offload import works_on
from sdloop.schedulers.schedule import Scheduler, moved, signal
from sdloop.schedulers.sending import Late

# From one picture (1, 3, height, width), 0 to 1, to a number (1,); lower is better.
Loss = Callable[[Tensor], Tensor]

# The number of latents in the notebook, for 512x512 pixels. The gradient of a mean over pixels gets
# smaller per latent the more there are; this factor makes a scale equally strong at any size.
USUAL_LATENTS = 64 * 64

# From this sigma on, the latents are only noise, as with zero terminal SNR.
NO_PICTURE = 1e3


@dataclass(frozen=True, kw_only=True, slots=True)
class LossGuidance:
    """Move latents down the gradient of a loss on the predicted clean picture.

    ``losses`` has one for each picture of the batch, including scales; ``every`` is in steps. If
    ``exact``, the gradient is computed through the UNet. Otherwise the UNet's noise prediction is
    treated as a constant.

    Source: the notebook "Stable Diffusion Deep Dive" (Whitaker, fast.ai 2022), "Guidance"; Dhariwal
    & Nichol 2021 (arXiv:2105.05233), section 4.
    """

    vae: Any
    losses: Sequence[Loss]
    every: int = 5
    exact: bool = False
    _lengths: Late[float] = field(default_factory=Late, init=False)

    def iterations(self, steps: Sequence[int], sigmas: Sequence[float]) -> frozenset[int]:
        """The iterations of the loop that move the latents, given the step and sigma of each.

        If a step has several iterations, it is the first one. At infinite sigma (zero terminal
        SNR), where the latents contain no picture, nothing is moved.

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
        """The moved ``latents``, the prediction for them, and ``denoised``, all without gradients.

        The step along the gradient is scaled by sigma squared: the noisier the latents, the less
        certain is the picture. This is for latents as picture plus noise, and is converted to the
        scheduler's own scaling.

        Raises ``SamplingError`` if the step would be longer than the latents; on a GPU one step
        late, so that the CPU does not wait.
        """
        with deterministic_gradients(latents.device):
            rows = zip(torch.split(denoised.detach(), 1), self.losses, strict=True)
            gradient = torch.cat([self.gradient(*one) for one in rows])
            if self.exact:
                gradient = signal(scheduler, sigma) * led_back(denoised, latents, gradient)
        latents, noise_pred = latents.detach(), noise_pred.detach()
        share = latents.shape[-2] * latents.shape[-1] / USUAL_LATENTS
        by = -(sigma**2) * share * gradient
        steps = torch.stack([_lengths(signal(scheduler, sigma) * by), _lengths(latents)])
        for lengths, then in self._lengths(steps, sigma):
            _check_lengths(lengths, then)
        return *moved(scheduler, latents, noise_pred, by, sigma), denoised.detach()

    def check_last(self) -> None:
        """Raise what the call would have raised, for the last step of the run."""
        for lengths, then in self._lengths.rest():
            _check_lengths(lengths, then)

    def gradient(self, row: Tensor, loss: Loss) -> Tensor:
        """The loss's gradient on the clean latents of one picture, (1, channels, height, width)."""
        row = row.requires_grad_()
        with one_at_a_time, torch.enable_grad():
            picture = _decoded(self.vae, row)
            (on_picture,) = torch.autograd.grad(loss(picture).sum(), picture)
            return led_back(picture, row, on_picture)


def led_back(output: Tensor, source: Tensor, gradient: Tensor) -> Tensor:
    """Backpropagate the ``gradient`` on ``output`` to ``source``, from which it was computed.

    All have the shape (batch, channels, height, width). Each row is scaled to about 1 by a power of
    two meanwhile: the tiny gradients of a mean over pixels would underflow in half precision.
    """
    largest = gradient.abs().amax(dim=(1, 2, 3), keepdim=True)
    unit = torch.where(largest > 0, largest.log2().floor().exp2(), 1.0)
    back: Tensor = torch.autograd.grad(output, source, gradient / unit)[0]
    return back * unit


def _decoded(vae: Any, latents: Tensor) -> Tensor:
    """Like ``vae.decode`` for one picture, but with gradients, and with checkpoints for memory."""
    pixels = latents.shape[-2] * latents.shape[-1] * vae_factor(vae) ** 2
    with tiled(vae, pixels), checkpointed(vae):
        decoded: Tensor = vae.decode(
            unscale(vae, latents).to(works_on(vae), vae.dtype), return_dict=False
        )[0]
    return decoded.to(latents.device, latents.dtype) / 2 + 0.5


def _check_lengths(lengths: Tensor, sigma: float) -> None:
    """Raise ``SamplingError`` if a picture's step is longer than the latents that it moves.

    ``lengths`` are those of the steps, and those of the latents, of shape (2, batch).
    """
    for length, whole in zip(*lengths.tolist(), strict=True):
        if not length <= whole:  # also true for NaN
            raise SamplingError(
                f"losses would move the latents by {length / whole:.2g} times their own size at "
                f"sigma {sigma:.3g}, which destroys the picture; remedy: multiply the scales by "
                f"{whole / length:.2g} or less"
            )


def _lengths(latents: Tensor) -> Tensor:
    lengths: Tensor = latents.flatten(1).norm(dim=1)
    return lengths
