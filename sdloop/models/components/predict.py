"""Predict how much of a GPU's memory a run takes: weights, and counted activations.

This looks at Components on the meta device, whose tensors have sizes but no numbers. Not counted
are the workspaces of cuDNN and cuBLAS, what torch's allocator cannot use for being in
pieces, and CUDA's own context of about 0.5 GB.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from sdloop.models.components.counted import counted_bytes
from sdloop.models.components.forward import check, decode, run_image_encoder, run_step
from sdloop.models.components.offload import weights_of

if TYPE_CHECKING:
    from sdloop.models.components.load import Components
    from sdloop.models.components.weights import Module


@dataclass(frozen=True, kw_only=True, slots=True)
class Phase:
    """What is on the GPU while one part of a run computes, in bytes.

    ``kept`` are the weights that "low" keeps there as long as it lasts, and ``largest`` those of
    the largest layer of these. ``layers`` are the largest layers of the modules that come layer by
    layer, and ``held`` the weights of these that stay together, for gradients.
    """

    activations: int = 0
    kept: int = 0
    largest: int = 0
    layers: tuple[int, ...] = ()
    held: int = 0

    def peak(self, memory: str) -> int:
        """With "full", the weights are not in it."""
        if memory == "full":
            return self.activations
        if memory == "low":
            return self.activations + self.kept + self.held + _passing(self.layers)
        return self.activations + self.held + _passing((self.largest, *self.layers))


def _passing(layers: Sequence[int]) -> int:
    """Three layers of the module that runs are there, see ``Ahead``, and the next of the others."""
    return sum(layers) + 2 * max(layers, default=0)


@dataclass(frozen=True, kw_only=True, slots=True)
class Needs:
    """The bytes of all ``weights``, each counted once, and the phases of a run."""

    weights: int
    phases: Mapping[str, Phase]

    def peak(self, memory: str) -> int:
        """The predicted peak with ``memory``, which is one of ``MEMORY``."""
        most = max(phase.peak(memory) for phase in self.phases.values())
        return most + (self.weights if memory == "full" else 0)


def most_of(several: Iterable[Needs]) -> Needs:
    """What the most demanding of ``several`` runs needs."""
    weights, phases = 0, dict[str, Phase]()
    for number, needs in enumerate(several):
        weights = max(weights, needs.weights)
        phases |= {f"{name} of run {number}": phase for name, phase in needs.phases.items()}
    return Needs(weights=weights, phases=phases)


def needs_of(
    components: Components,
    *,
    size: tuple[int, int] | None = None,
    decoded: tuple[int, int] | None = None,
    rows: int = 2,
    base: Components | None = None,
) -> Needs:
    """What one picture needs with all that ``components`` hold, which are on the meta device.

    ``size``, by default the model's own, is what the UNet sees, in pixels, and ``decoded`` what the
    VAE decodes in one piece. ``rows`` are those of the UNet's batch: two for a picture with
    guidance. ``base`` is the model without LoRAs: it stays loaded too.
    """
    factor = components.vae_factor
    width, height = size or components.native_size
    latents = height // factor, width // factor
    wide, high = decoded or (width, height)
    phases = _phases(components, rows, latents)
    if components.refiner is not None:
        stages = _phases(components.refiner, rows, latents).items()
        phases |= {f"refiner's {name}": phase for name, phase in stages}
    vae, checker = components.last_vae, components.safety_checker
    phases["decoding"] = _phase(lambda: decode(vae, high // factor, wide // factor), [vae])
    if checker is not None:
        model: Module = checker.model  # type: ignore[attr-defined]
        phases["checking"] = _phase(lambda: check(model), [model])
    return Needs(weights=bytes_of(_modules_in([components, base])), phases=phases)


def _phases(components: Components, rows: int, latents: tuple[int, int]) -> dict[str, Phase]:
    """Those before the decoding; the activations of text encoders are small."""
    encoders = [components.text_encoder, components.text_encoder_2]
    phases = {
        f"reading {number}": Phase(layers=(_largest_layer(one),))
        for number, one in enumerate(encoders)
        if one is not None
    }
    nets = [one.net for one in (*components.controlnets, *components.t2i_adapters)]
    unet = components.unet
    kept = bytes_of([unet])
    for number, adapter in enumerate(components.image_adapters):
        seeing = [adapter.encoder, adapter.projection]
        phases[f"seeing {number}"] = _phase(partial(run_image_encoder, adapter), seeing)
        nets.append(adapter.layers)
        kept -= bytes_of([adapter.layers])
    step = _phase(lambda: run_step(components, rows, *latents), nets)
    phases["step"] = dataclasses.replace(step, kept=kept, largest=_largest_layer(unet))
    return phases


def _phase(run: Callable[[], object], modules: Iterable[Module]) -> Phase:
    return Phase(activations=counted_bytes(run), layers=tuple(map(_largest_layer, modules)))


def _modules_in(value: Any) -> Iterator[Module]:
    """The modules that Components hold, or a part of them: a net and its scale, a refiner."""
    if isinstance(value, torch.nn.Module):
        yield value
    elif isinstance(value, list | tuple):
        yield from itertools.chain.from_iterable(map(_modules_in, value))
    elif dataclasses.is_dataclass(value):
        yield from _modules_in([getattr(value, one.name) for one in dataclasses.fields(value)])


def bytes_of(modules: Iterable[Module]) -> int:
    """The bytes of the weights of ``modules``; those that several share count once."""
    tensors = (one for module in modules for one in (*module.parameters(), *module.buffers()))
    return sum(
        {one.untyped_storage()._cdata: one.untyped_storage().nbytes() for one in tensors}.values()
    )


def _largest_layer(module: Module) -> int:
    sizes = ([one.nbytes for _, one in weights_of(layer)] for layer in module.modules())
    return max(map(sum, sizes))
