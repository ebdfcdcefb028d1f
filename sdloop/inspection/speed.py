"""Measure how fast a model makes pictures, and compare it with what the device could do."""

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import torch
from torch.utils.flop_counter import FlopCounterMode

from sdloop.images.input.read import open_image
from sdloop.models.components.device import PeakMemory, threads_for
from sdloop.models.components.forward import decode, run_unet
from sdloop.models.components.load import Components
from sdloop.models.components.shell import on_meta
from sdloop.pipeline.loaded_model import LoadedModel, loaded_model
from sdloop.pipeline.picture import SampledBatch
from sdloop.pipeline.sample import sampled
from sdloop.recipe.recipe import Recipe

_SIDE = 2048  # of the matrices whose product shows what the device can do
_ROUNDS = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Speed:
    """Times in seconds, each the median of some rounds.

    pictures_per_second
        From the encoded prompt to the pixels.
    step
        One step of the whole batch, in the loop.
    bare_step
        The same forward pass of the UNet alone, with the same inputs' sizes.
    decoding
        One picture.
    flops_per_picture
        Counted: products of matrices, attention and convolutions of the UNet and the decoder.
    device_flops
        Per second, in the product of two large matrices of the model's precision.
    waits
        How often the CPU waited for the GPU in a batch, beginning and end included; ``None`` on
        other devices.
    peak_memory
        In bytes: see ``PeakMemory``.
    """

    pictures_per_second: float
    step: float
    bare_step: float
    decoding: float
    flops_per_picture: float
    device_flops: float
    waits: int | None
    peak_memory: int | None

    @property
    def overhead(self) -> float:
        """What a step takes beyond the forward pass of the UNet, as a share of that."""
        return self.step / self.bare_step - 1

    @property
    def share(self) -> float:
        """The share of ``device_flops`` that it reaches."""
        return self.flops_per_picture * self.pictures_per_second / self.device_flops


def measure_speed(components: Components, recipe: Recipe, batch_size: int) -> Speed:
    """Make batches of a Recipe's picture with other seeds; nothing is saved.

    The first batch is not measured: prompts are encoded, kernels chosen. Batches and bare forward
    passes take turns, so that a machine that becomes slower slows both.
    """
    model = loaded_model(components)
    resolved = model.resolved(recipe, open_image)
    steps = len(_run(model, resolved, batch_size).sigmas[0])
    rows = batch_size * (1 if resolved.guidance_scale == 1 else 2)
    width, height = (side // components.vae_factor for side in resolved.size)
    device, peak = components.device, PeakMemory(components.device)
    loops, bare, decodes = [], [], []
    with threads_for(components.unet), torch.no_grad():
        for _ in range(_ROUNDS):
            started = time.perf_counter()
            batch = _run(model, resolved, batch_size)
            _settle(device)
            sampling = time.perf_counter()
            for picture in batch.pictures():
                del picture
            loops.append(sampling - started)
            decodes.append((time.perf_counter() - sampling) / batch_size)
            bare.append(_seconds(lambda: run_unet(components.unet, rows, height, width), device))
        speed = 1 / (median(loops) / batch_size + median(decodes))
        return Speed(
            pictures_per_second=speed,
            step=median(loops) / steps,
            bare_step=median(bare),
            decoding=median(decodes),
            flops_per_picture=steps * _flops_of_unet(components, rows, height, width) / batch_size
            + _flops_of_decoder(components, height, width),
            device_flops=_device_flops(components),
            waits=_waits(model, resolved, batch_size),
            peak_memory=peak.read(),
        )


def _run(model: LoadedModel, recipe: Recipe, count: int) -> SampledBatch:
    """The latents of one batch."""
    (batch,) = (
        event
        for event in sampled(model, [recipe] * count, count, open_image)
        if isinstance(event, SampledBatch)
    )
    return batch


def _seconds(run: Callable[[], object], device: torch.device) -> float:
    run()
    _settle(device)
    started = time.perf_counter()
    run()
    _settle(device)
    return time.perf_counter() - started


def _settle(device: torch.device) -> None:
    """Wait until the device has done all work that was queued up."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _flops_of_unet(components: Components, rows: int, height: int, width: int) -> int:
    unet = on_meta(components.unet)
    return _flops(lambda: run_unet(unet, rows, height, width))


def _flops_of_decoder(components: Components, height: int, width: int) -> int:
    vae = on_meta(components.last_vae)
    return _flops(lambda: decode(vae, height, width))


def _flops(run: Callable[[], object]) -> int:
    with FlopCounterMode(display=False) as counter:
        run()
    return int(counter.get_total_flops())


def _device_flops(components: Components) -> float:
    """What a product of large matrices reaches: the fastest of some."""
    one = torch.ones(_SIDE, _SIDE, device=components.device, dtype=components.dtype)
    fastest = min(_seconds(lambda: one @ one, components.device) for _ in range(_ROUNDS))
    return 2 * _SIDE**3 / fastest


def _waits(model: LoadedModel, recipe: Recipe, count: int) -> int | None:
    """How often a batch makes the CPU wait, as torch itself reports it."""
    if model.components.device.type != "cuda":
        return None
    before = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            _run(model, recipe, count)
    finally:
        torch.cuda.set_sync_debug_mode(before)
    return sum("synchronizing CUDA" in str(one.message) for one in caught)
