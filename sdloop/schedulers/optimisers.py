"""Sampling as optimisation: a torch optimiser used as a scheduler.

Denoising is gradient descent: the gradient of half the squared distance between noisy and clean
latents is the noise, and the UNet estimates this noise. So any optimiser can take the steps
(Permenter & Yuan 2024, arXiv:2306.04848, where plain gradient descent is DDIM). There is no fixed
schedule. The UNet must know the noise level at each step, which depends on the optimiser: so its
steps are first simulated on pure noise.
"""

from collections.abc import Sequence
from typing import Any, Self

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from sdloop.schedulers.prediction import predict_denoised

# The noise level of the first step, unless the model's highest is lower. It is Stable Diffusion's
# highest level; above it, as in the embedded model's schedule, the UNet sees nothing of a picture.
MOST_NOISE = 14.6
_QUANTILES = 1024


class Descent:
    """diffusers' scheduler protocol for one of the ``torch.optim`` classes.

    Latents are the clean ones plus ``sigma`` times noise, as with Euler. The optimiser's gradient
    is the estimated noise, with a standard deviation of 1, and its learning rate is
    ``learning_rate`` times sigma: the share of the noise that plain descent removes in a step. A
    picture is finished when its estimated noise has fallen to ``stop_noise``, and after the last
    step: the remaining noise is removed, and further steps do not change it.

    Each picture of a batch has its own moments, and finishes independently of the others.
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
        """``own`` is the model's scheduler, whose training schedule is used; ``options`` are the
        optimiser's."""
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
        """The factor of pure noise at the start."""
        return min(MOST_NOISE, self._trained[-1].item())

    @property
    def unet_calls(self) -> list[int]:
        """How often the UNet ran for each picture before it was finished."""
        return [int(calls) for calls in self._unet_calls]

    @property
    def finished(self) -> Tensor:
        """Whether all pictures are finished, so that further steps change nothing.

        A tensor without dimensions, on the latents' device.
        """
        return self._done.all() if len(self._done) else torch.tensor(False)

    def set_timesteps(self, steps: int, device: str) -> None:
        """Prepare at most this many ``steps``; a simulation gives the noise level of each."""
        self._place(0, self._rehearsed(steps, self.init_noise_sigma))

    def set_begin_index(self, begin: int) -> None:
        """Start at the step ``begin`` (img2img), with the share of noise, on a logarithmic scale,
        that is left before this step of a full run."""
        if begin == 0:
            return
        steps, top = len(self.timesteps), self.init_noise_sigma
        least = max(self._stop_noise, self._trained[0].item())
        self._place(begin, self._rehearsed(steps - begin, top * (least / top) ** (begin / steps)))

    def scale_model_input(self, latents: Tensor, timestep: Tensor) -> Tensor:
        """The UNet's input: scaled so that the squared factors of signal and noise sum to 1."""
        scaled: Tensor = latents / (1 + self._sigma**2) ** 0.5
        return scaled

    def add_noise(self, clean: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """``clean`` noised to ``timesteps`` (one, or one for each); finished ones stay clean."""
        places = [(self.timesteps - t).abs().argmin() for t in timesteps]
        sigmas = self.sigmas[torch.stack(places)].to(clean.device).reshape(-1, 1, 1, 1)
        if len(self._done):
            sigmas = sigmas * ~self._done.reshape(-1, 1, 1, 1)
        return clean + sigmas * noise

    def step(
        self, noise_pred: Tensor, timestep: Tensor, latents: Tensor, *, return_dict: bool
    ) -> tuple[Tensor]:
        """The latents after a step of the optimiser, with the estimated noise as the gradient."""
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
                row.copy_(now)  # a mask, or the loop's consumer, may have changed them
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
        """The simulated noise level before each step, for noise that starts at ``sigma``.

        With known clean latents, the noise is the distance to them. Optimisers treat every element
        separately, so quantiles of the normal distribution can represent all elements. Overshooting
        counts as noise too: the returned level never rises.
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
        """Set the noise ``levels`` of the steps from ``begin`` on."""
        self._turn = begin
        self.sigmas = torch.cat([self.sigmas[:begin], torch.tensor([*levels, 0.0])])
        wanted, trained = np.log(self.sigmas[:-1].double().numpy()), np.log(self._trained.numpy())
        found = np.interp(wanted, trained, np.arange(len(trained)))
        self.timesteps = torch.from_numpy(found).float()


def _rows(flags: Tensor) -> Tensor:
    return flags.reshape(-1, 1, 1, 1)
