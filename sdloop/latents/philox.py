"""The random numbers of CUDA's ``torch.randn``, on any machine: Philox4x32-10 and Box-Muller.

A1111 draws its noise on the GPU by default, and its ``RNG: NV`` and stable-diffusion.cpp's
``cuda`` compute the same numbers on the CPU. A GPU gives each number of a tensor a stream of its
own, up to the number of threads that it runs at once; A1111's ``NV`` and this module do so for
tensors of any size.

Source: Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3" (SC11); the constants of
``curand_philox4x32_x.h`` and ``curand_normal.h`` in CUDA.
"""

import math
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, ParamSpec, Self, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.overrides import TorchFunctionMode

Words = NDArray[np.uint64]  # 32 bits in each

_P = ParamSpec("_P")
_R = TypeVar("_R")

_LOW = np.uint64(0xFFFFFFFF)
_HALF = np.uint64(32)
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_WEYL = 0x9E3779B9, 0xBB67AE85
# CUDA has both as 32-bit floats.
_TO_UNIT = float(np.float32(2.0**-32))
_TO_CIRCLE = float(np.float32(2.0**-32 * 2 * math.pi))


class Philox(torch.Generator):
    """A stream of noise for one picture; ``seed`` has up to 64 bits.

    diffusers and torchsde take it for a generator of torch. ``from_philox`` makes ``torch.randn``
    draw from it. The VAE's encoder draws from ``for_encoder``, so that the noise is that of A1111
    in img2img too: the first of its seed.
    """

    drawn: int
    for_encoder: torch.Generator

    def __new__(cls, seed: int) -> Self:
        return super().__new__(cls, "cpu")  # type: ignore[call-arg]  # torch's types lack it

    def __init__(self, seed: int) -> None:
        self.manual_seed(seed)
        self.drawn = 0
        self.for_encoder = torch.Generator("cpu").manual_seed(seed & 0xFFFFFFFF)

    def normal(self, shape: tuple[int, ...]) -> Tensor:
        """The next standard normal tensor, float32, on the CPU.

        Each number is the first of its own stream; each tensor takes the next of all streams.
        """
        numbers = np.arange(math.prod(shape), dtype=np.uint64)
        zeros = np.zeros_like(numbers)
        counter = (zeros + np.uint64(self.drawn), zeros, numbers, zeros)
        self.drawn += 1
        seed = self.initial_seed()
        first, second, _, _ = philox4x32(counter, (seed & 0xFFFFFFFF, seed >> 32))
        return torch.from_numpy(_box_muller(first, second)).reshape(shape)


def philox4x32(counter: tuple[Words, Words, Words, Words], key: tuple[int, int]) -> Any:
    """Four random words for each of the counters, after ten rounds."""
    a, b, c, d = counter
    for turn in range(10):
        key_a, key_b = (
            np.uint64((part + turn * step) & 0xFFFFFFFF)
            for part, step in zip(key, _WEYL, strict=True)
        )
        of_a, of_c = a * _MULTIPLIERS[0], c * _MULTIPLIERS[1]
        a, b = (of_c >> _HALF) ^ b ^ key_a, of_c & _LOW
        c, d = (of_a >> _HALF) ^ d ^ key_b, of_a & _LOW
    return a, b, c, d


def _box_muller(first: Words, second: Words) -> NDArray[np.float32]:
    """One normal number of two words; CUDA's second one is not used."""
    radius = np.sqrt(-2 * np.log((first + 0.5) * _TO_UNIT))
    numbers: NDArray[np.float32] = (radius * np.sin((second + 0.5) * _TO_CIRCLE)).astype(np.float32)
    return numbers


def from_philox(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """``function``, inside which ``torch.randn`` with a generator draws from Philox.

    Of a ``Philox``, it draws the next tensor. Any other generator only brings its seed: torchsde
    makes one for each number of a Brownian path.
    """

    @wraps(function)
    def drawing(*arguments: _P.args, **options: _P.kwargs) -> _R:
        with _Drawing():
            return function(*arguments, **options)

    return drawing


class _Drawing(TorchFunctionMode):
    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        arguments: tuple[Any, ...] = (),
        options: Mapping[str, Any] | None = None,
    ) -> Any:
        options = options or {}
        generator = options.get("generator")
        if function is not torch.randn or generator is None:
            return function(*arguments, **options)
        if not isinstance(generator, Philox):
            generator = Philox(generator.initial_seed())
        shape = arguments[0] if len(arguments) == 1 else options.get("size", arguments)
        drawn = generator.normal((shape,) if isinstance(shape, int) else tuple(shape))
        return drawn.to(options.get("device"), options.get("dtype"))
