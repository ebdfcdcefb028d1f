"""The programs that `race.py` races: each is loaded once, and then makes the same picture anew.

OpenVINO needs a package of its own, and is left out without it: `pip install openvino`.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline
from torch import Tensor

import sdloop
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.components.compiled import check_compiler, compile_module
from sdloop.models.components.shell import shell

PROMPT, NEGATIVE, SEED, SCALE = "a frog in a park", "a red house", 4, 7.5
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}

Make = Callable[[], Any]
Load = Callable[[], Make]


def of_sdloop(
    folder: Path,
    steps: int,
    dtype: str,
    loaded: dict[str, sdloop.Components],
    *,
    compile: str = "off",
    reuse: int = 1,
) -> Make:
    """Compiled copies share their weights, so that all fit into the memory."""
    if dtype not in loaded:
        loaded[dtype] = sdloop.load_components(str(folder), device=DEVICE, dtype=dtype)
    components = loaded[dtype]
    if compile != "off":
        check_compiler()
        unet = compile_module(shell(components.unet), compile, components.device)
        components = replace(components, unet=unet, compile=compile)
    recipe = sdloop.Recipe(
        prompt=PROMPT,
        negative_prompt=NEGATIVE,
        seed=SEED,
        guidance_scale=SCALE,
        steps=steps,
        scheduler="euler",
        reuse=reuse,
    )
    return lambda: sdloop.generate(components, recipe)[0].image


def of_diffusers(folder: Path, steps: int, dtype: str) -> Make:
    return partial(_piped, pipeline(folder, dtype), steps)


def pipeline(folder: Path, dtype: str) -> Any:
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, dtype=DTYPES[dtype], safety_checker=None, requires_safety_checker=False
    ).to(DEVICE)
    pipe.scheduler = EulerDiscreteScheduler.from_config(pipe.scheduler.config)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _piped(pipe: Any, steps: int) -> Any:
    return pipe(
        PROMPT,
        negative_prompt=NEGATIVE,
        num_inference_steps=steps,
        guidance_scale=SCALE,
        generator=torch.Generator().manual_seed(SEED),
    ).images[0]


def of_openvino(folder: Path, steps: int, dtype: str) -> Make:
    """Diffusers' pipeline, whose UNet and decoder OpenVINO runs: they are nearly all the work."""
    pipe = pipeline(folder, "fp32")
    with torch.no_grad():
        pipe.unet.forward = _through_unet(pipe, dtype)
        pipe.vae.decode = _through_decoder(pipe, dtype)
    return partial(_piped, pipe, steps)


def _through_unet(pipe: Any, dtype: str) -> Callable[..., Any]:
    unet = pipe.unet
    side, width = unet.config.sample_size, unet.config.cross_attention_dim
    latents = torch.zeros(2, unet.config.in_channels, side, side)
    words = torch.zeros(2, pipe.tokenizer.model_max_length, width)
    call = _openvino(_Sample(unet), (latents, torch.tensor(1.0), words), dtype)

    def forward(sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, **_: Any) -> Any:
        return (call(sample, timestep.float(), encoder_hidden_states),)

    return forward


def _through_decoder(pipe: Any, dtype: str) -> Callable[..., Any]:
    side = pipe.unet.config.sample_size
    decoder = _Decoder(pipe.vae)
    call = _openvino(decoder, (torch.zeros(1, pipe.vae.config.latent_channels, side, side),), dtype)
    return lambda latents, **_: (call(latents),)


class _Decoder(torch.nn.Module):
    """From latents to pixels, as one module."""

    def __init__(self, vae: Any) -> None:
        super().__init__()
        self.decoder, self.post_quant_conv = vae.decoder, vae.post_quant_conv

    def forward(self, latents: Tensor) -> Tensor:
        pixels: Tensor = self.decoder(self.post_quant_conv(latents))
        return pixels


def _openvino(
    module: torch.nn.Module, example: tuple[Tensor, ...], dtype: str
) -> Callable[..., Tensor]:
    """The module's forward on as many threads as torch has, for inputs shaped like the example."""
    import openvino

    hints = {
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[dtype],
    }
    shapes = [tuple(tensor.shape) for tensor in example]
    model = openvino.convert_model(module, example_input=example, input=shapes)
    compiled = openvino.compile_model(model, "CPU", hints)
    return lambda *inputs: torch.from_numpy(
        compiled([tensor.contiguous().numpy() for tensor in inputs])[0]
    )


class _Sample(torch.nn.Module):
    """A UNet that returns a tensor, where diffusers would return an object."""

    def __init__(self, unet: torch.nn.Module) -> None:
        super().__init__()
        self.unet = unet

    def forward(self, *inputs: Tensor) -> Tensor:
        predicted: Tensor = self.unet(*inputs).sample
        return predicted


def native_size(folder: Path) -> tuple[int, int]:
    return find_checkpoint(str(folder)).native_size


def entrants(folder: Path, steps: int) -> dict[str, Load]:
    """Each program's name, and what loads it."""
    found: dict[str, Load] = {}
    loaded: dict[str, sdloop.Components] = {}
    for dtype in DTYPES:
        found[f"diffusers {dtype}"] = partial(of_diffusers, folder, steps, dtype)
        own = partial(of_sdloop, folder, steps, dtype, loaded)
        found[f"sdloop {dtype}"] = own
        found[f"sdloop {dtype}, reuse 2"] = partial(own, reuse=2)
        for compile in ("regional", "whole"):
            found[f"sdloop {dtype}, compile {compile}"] = partial(own, compile=compile)
        if not why_without_openvino():
            found[f"OpenVINO {dtype}"] = partial(of_openvino, folder, steps, dtype)
    return found


def why_without_openvino() -> str:
    """Why OpenVINO does not take part, if it does not."""
    if DEVICE != "cpu":
        return "it is raced on CPUs only"
    return "" if importlib.util.find_spec("openvino") else "it is not installed"
