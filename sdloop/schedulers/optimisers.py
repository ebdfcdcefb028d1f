"""Sampling as optimisation: an optimiser of torch in a scheduler's place.

Taking noise off a picture is descending: half the squared distance from noisy latents to the clean
ones has the noise in them for its gradient, the UNet estimates that noise, and so any optimiser
can take the steps (Permenter & Yuan 2024, arXiv:2306.04848, where plain gradient descent is DDIM).
No schedule is followed. How noisy the latents are at a step, which the UNet must be told, follows
from the optimiser: before it sees a picture it rehearses its steps on noise alone.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from sdloop.schedulers.prediction import predict_denoised

# Where the descent starts, unless the model knows less noise. Stable Diffusion's own highest level;
# what is above it, as in the embedded model's schedule, shows the UNet nothing and takes steps.
MOST_NOISE = 14.6
_QUANTILES = 1024


class Descent:
    """diffusers' scheduler protocol, around one of ``torch.optim``'s classes.

    Latents are the clean ones plus ``sigma`` times noise, as with Euler's method. The optimiser's
    gradient is the estimated noise, whose deviation is 1, and its learning rate is
    ``learning_rate`` times sigma: the share of the noise that plain descent takes off in a step.
    A picture whose estimated noise has fallen to ``stop_noise`` is finished: with the noise that is
    left taken off it stays as it is, whatever steps follow, as it does after the last step.

    Each picture of a batch has moments of its own, and ends by itself.
    """

    order = 1

    def __init__(
        self,
        own: Any,
        optimiser: type[torch.optim.Optimizer],
        *,
        learning_rate: float,
        stop_noise: float,
        **options: Any,
    ) -> None:
        """``own`` is the model's scheduler, of which the training schedule is taken; ``options``
        are the optimiser's."""
        euler = EulerDiscreteScheduler.from_config(own.config)
        self.config = euler.config
        signal = euler.alphas_cumprod.double()
        self._trained: Tensor = ((1 - signal) / signal).sqrt()
        self._optimiser, self._options = optimiser, options
        self._learning_rate, self._stop_noise = learning_rate, stop_noise
        self.sigmas = torch.empty(0)
        self.timesteps = torch.empty(0)
        self._turn = 0
        self._taking: Any = None  # the optimiser, once it has latents
        self._done = torch.empty(0, dtype=torch.bool)  # of each picture
        self._unet_calls = torch.empty(0, dtype=torch.int64)

    @classmethod
    def of(cls, own: Any, class_name: str, **options: Any) -> Self:
        """The same from the name of an optimiser: "torch.optim.Adam"."""
        return cls(own, getattr(torch.optim, class_name.removeprefix("torch.optim.")), **options)

    @property
    def init_noise_sigma(self) -> float:
        """What pure noise is multiplied by to be where the descent starts."""
        return min(MOST_NOISE, self._trained[-1].item())

    @property
    def unet_calls(self) -> list[int]:
        """How often the UNet ran for each picture before it was finished."""
        return [int(calls) for calls in self._unet_calls]

    @property
    def finished(self) -> bool:
        """Whether all pictures are, so that further steps change nothing."""
        return bool(len(self._done) and self._done.all())

    def set_timesteps(self, steps: int, device: str) -> None:
        """At most so many ``steps``; the noise of each is what a rehearsal of them has left."""
        self._place(0, self._rehearsed(steps, self.init_noise_sigma))

    def set_begin_index(self, begin: int) -> None:
        """Start at the step ``begin``: with the share of the noise, on a logarithmic scale, that
        the steps before it would leave if they went all the way."""
        if begin == 0:
            return
        steps, top = len(self.timesteps), self.init_noise_sigma
        least = max(self._stop_noise, self._trained[0].item())
        self._place(begin, self._rehearsed(steps - begin, top * (least / top) ** (begin / steps)))

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """What the UNet is shown: signal and noise with squares that add up to 1."""
        scaled: Tensor = latents / (1 + self._sigma**2) ** 0.5
        return scaled

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """``clean`` as noisy as at ``timesteps``, one or one for each; finished pictures stay."""
        places = [(self.timesteps - t).abs().argmin() for t in timesteps]
        sigmas = self.sigmas[torch.stack(places)].to(clean.device).reshape(-1, 1, 1, 1)
        if len(self._done):
            sigmas = sigmas * ~self._done.reshape(-1, 1, 1, 1)
        return clean + sigmas * noise

    def step(
        self, noise_pred: Tensor, timestep: Tensor, latents: Tensor, *, return_dict: bool
    ) -> tuple[Tensor]:
        """The latents after a step of the optimiser, down the noise that is estimated in them."""
        if self._taking is None:
            self._begin(latents)
        sigma, last = self._sigma, self._turn + 1 == len(self.timesteps)
        seen = self.scale_model_input(latents, timestep)
        denoised = predict_denoised(seen, noise_pred, sigma, self.config.prediction_type)
        noise = (latents - denoised) / sigma
        left = noise.square().mean(dim=(1, 2, 3)).sqrt() * sigma
        ends = (left <= self._stop_noise) | last
        stepped = torch.where(_rows(ends), denoised, self._descended(latents, noise, sigma))
        latents = torch.where(_rows(self._done), latents, stepped)
        self._unet_calls = self._unet_calls + ~self._done
        self._done = self._done | ends
        self._turn += 1
        return (latents,)

    @property
    def _sigma(self) -> float:
        return self.sigmas[min(self._turn, len(self.timesteps) - 1)].item()

    def _begin(self, latents: Tensor) -> None:
        self._taking = self._made([latents[row].clone() for row in range(len(latents))])
        self._done = torch.zeros(len(latents), dtype=torch.bool, device=latents.device)
        self._unet_calls = torch.zeros(len(latents), dtype=torch.int64, device=latents.device)

    def _descended(self, latents: Tensor, noise: Tensor, sigma: float) -> Tensor:
        """One step of the optimiser, in which each picture is a parameter by itself."""
        rows = self._taking.param_groups[0]["params"]
        with torch.no_grad():
            for row, now in zip(rows, latents, strict=True):
                row.copy_(now)  # a mask, or who watches, may have changed them
        self._take(self._taking, list(noise), sigma)
        return torch.stack([row.detach() for row in rows])

    def _made(self, parameters: Sequence[Tensor]) -> torch.optim.Optimizer:
        rows = [torch.nn.Parameter(one) for one in parameters]
        return self._optimiser(rows, **{"lr": self._learning_rate, **self._options})

    def _take(self, taking: Any, noise: Sequence[Tensor], sigma: float) -> None:
        group = taking.param_groups[0]
        group["lr"] = self._learning_rate * sigma
        for row, gradient in zip(group["params"], noise, strict=True):
            row.grad = gradient
        taking.step()

    def _rehearsed(self, steps: int, sigma: float) -> list[float]:
        """The deviation before each step of noise that starts at ``sigma``.

        Around clean latents that are known, the noise is the latents' distance to them. As
        optimisers take their steps element by element, the quantiles of the normal distribution
        stand for all of its elements. What they overshoot by is noise, too: the level told never
        rises.
        """
        ranks = (torch.arange(_QUANTILES, dtype=torch.float64) + 0.5) / _QUANTILES
        normal = torch.special.ndtri(ranks)
        taking = self._made([normal / normal.square().mean().sqrt() * sigma])
        (noise,) = taking.param_groups[0]["params"]
        least, levels = self._trained[0].item(), [sigma]
        for _ in range(steps - 1):
            self._take(taking, [noise.detach() / levels[-1]], levels[-1])
            now = noise.detach().square().mean().sqrt().item()
            levels.append(max(least, min(levels[-1], now)))
        return levels

    def _place(self, begin: int, levels: Sequence[float]) -> None:
        """Let ``levels`` be those of the steps from ``begin`` on, and nothing be before them."""
        self._turn = begin
        self.sigmas = torch.cat([self.sigmas[:begin], torch.tensor([*levels, 0.0])])
        told, trained = np.log(self.sigmas[:-1].double().numpy()), np.log(self._trained.numpy())
        found = np.interp(told, trained, np.arange(len(trained)))
        self.timesteps = torch.from_numpy(found).float()


def _rows(flags: Tensor) -> Tensor:
    return flags.reshape(-1, 1, 1, 1)
