"""The loaded parts of a model, ready for the loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from PIL.Image import Image
from transformers import CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.advice import Advice, read_advice
from sdloop.models.checkpoint.find import find_checkpoint
from sdloop.models.checkpoint.hashes import is_copy
from sdloop.models.checkpoint.tokenizer import load_tokenizer
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.models.compile_names import check_compile
from sdloop.models.components.compiled import check_compiler
from sdloop.models.components.depth import load_depth_processor
from sdloop.models.components.device import make_current, pick_device, pick_dtype, set_arithmetic
from sdloop.models.components.fit import pick_memory
from sdloop.models.components.predict import needs_of
from sdloop.models.components.target import Target
from sdloop.models.memory import out_of_memory_is
from sdloop.recipe.model_facts import Defaults


class Follower(NamedTuple):
    """A ControlNet or T2I-Adapter of the pictures that are being made, and how much it counts.

    A ControlNet-Union is told the ``mode`` of its picture, one of ``modes``; others have 0 modes.
    """

    net: Any
    scale: float
    mode: int | None = None
    modes: int = 0


class SafetyChecks(Protocol):
    """What flags finished pictures."""

    def flags(self, images: Sequence[Image]) -> list[bool]:
        """Whether each of the pictures is flagged."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Components(Defaults):
    """A model's parts under the names of its ``model_index.json``.

    Schedulers count their steps, so this holds only the config for building a new one.
    ``tokenizer_2``, ``text_encoder_2`` and ``force_zeros_for_empty_prompt`` are for SDXL.
    ``low_res_scheduler_config`` and ``max_noise_level`` are for upscalers: the scheduler that adds
    noise to the input picture, and the highest noise level.
    ``refiner`` is the model of SDXL's second stage. SDXL's own refiner has only one text encoder,
    the second, which stands here as its ``tokenizer`` and ``text_encoder``; ``scores`` says that
    its UNet is conditioned on an aesthetic score.
    ``depth_estimator`` and ``depth_processor`` are those of a depth model, if it has them: DPT, and
    what scales pictures for it.
    ``safety_checker`` flags finished pictures, see ``safety.with_safety_checker``.
    ``checkpoint`` is None for parts that were put together by hand.
    ``controlnets`` and ``t2i_adapters`` are those of the pictures that are being made, and
    ``image_adapters`` are what their UNet sees pictures with: see ``ImageAdapter``.
    ``runs_on`` and ``computes_in`` are the device and precision that it was loaded for. By default
    they are the UNet's, which are others while the UNet waits elsewhere between its calls
    (offloading). The text encoders and the VAE may be on another device. ``memory`` says which
    weights stay on the device, ``fp8`` that the UNet's are stored in 8 bits, and ``compile`` how
    much of it is compiled: see ``load_components``.
    """

    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    unet: UNet2DConditionModel
    vae: AutoencoderKL
    scheduler_config: Mapping[str, Any]
    tokenizer_2: CLIPTokenizer | None = None
    text_encoder_2: CLIPTextModelWithProjection | None = None
    force_zeros_for_empty_prompt: bool = False
    low_res_scheduler_config: Mapping[str, Any] | None = None
    max_noise_level: int | None = None
    refiner: Components | None = None
    scores: bool = False
    depth_estimator: Any = None
    depth_processor: Any = None
    safety_checker: SafetyChecks | None = None
    checkpoint: Checkpoint | None = None
    controlnets: tuple[Follower, ...] = ()
    t2i_adapters: tuple[Follower, ...] = ()
    image_adapters: tuple[Any, ...] = ()
    runs_on: torch.device | None = None
    computes_in: torch.dtype | None = None
    memory: str = "full"
    fp8: bool = False
    compile: str = "off"

    @property
    def unet_config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.unet.config
        return config

    @property
    def vae_config(self) -> Mapping[str, Any]:
        config: Mapping[str, Any] = self.vae.config
        return config

    @property
    def text_configs(self) -> tuple[Mapping[str, Any], ...]:
        encoders = (self.text_encoder, self.text_encoder_2)
        return tuple(one.config.to_dict() for one in encoders if one is not None)

    @property
    def advice(self) -> Advice:
        """Parts that were put together by hand have that of their family."""
        if self.checkpoint is not None:
            return self.checkpoint.advice
        upscales = self.max_noise_level is not None
        family = "upscaler" if upscales else "sdxl" if self.takes_sizes else "sd1"
        return read_advice("components", family, {})

    @property
    def estimates_depth(self) -> bool:
        return self.depth_estimator is not None

    @property
    def last_vae(self) -> AutoencoderKL:
        """The VAE that decodes finished pictures: that of the last stage."""
        return self.vae if self.refiner is None else self.refiner.vae

    @property
    def device(self) -> torch.device:
        """Where the latents are, and what the UNet is given."""
        device: torch.device = self.unet.device if self.runs_on is None else self.runs_on
        return device

    @property
    def dtype(self) -> torch.dtype:
        """The UNet's dtype; the VAE may have a higher precision, see ``vae.dtype``."""
        dtype: torch.dtype = self.unet.dtype if self.computes_in is None else self.computes_in
        return dtype

    @property
    def vae_factor(self) -> int:
        return self.size_multiple


def load_components(
    model: str | Checkpoint = "mini",
    *,
    revision: str | None = None,
    variant: str | None = None,
    vae: str | None = None,
    unet: str | None = None,
    refiner: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    memory: str = "auto",
    compile: str = "off",
) -> Components:
    """Load a model, or a checkpoint from ``find_checkpoint``, straight to its device.

    ``device`` is auto, cpu, mps, cuda or cuda:i, ``dtype`` auto, fp16, bf16, tf32, fp32 or
    fp8. ``memory`` is about the GPU's: "full" keeps all weights there; "low" keeps them on the CPU,
    and copies the UNet's while its steps run, all others layer by layer; "lowest" copies the UNet's
    layer by layer too. "auto" is the first of these that fits, for a picture of the model's size
    and without other parts, such as ControlNets. The pictures are the same.
    ``compile`` is "regional" for a UNet whose transformer blocks are compiled, or "whole".

    Raises ``SettingError`` for a missing device, ``ModelError`` for an unusable model, whose
    message names file, part and tensor, and ``OutOfMemory`` if the weights do not fit.
    """
    place = pick_device(device)
    make_current(place)
    precision = pick_dtype(dtype, place)
    set_arithmetic(place, dtype)
    if isinstance(model, str):
        model = find_checkpoint(
            model, revision=revision, variant=variant, vae=vae, unet=unet, refiner=refiner
        )
    elif any(name is not None for name in (revision, variant, vae, unet, refiner)):
        raise SettingError(
            "revision, variant, vae, unet and refiner must be given to find_checkpoint, which has "
            "already run"
        )
    fp8 = dtype == "fp8"
    memory = pick_memory(
        memory,
        model,
        place,
        precision,
        needs=lambda: needs_of(without_numbers(model, precision, fp8=fp8)),
    )
    check_compile(compile, device=place.type, dtype=dtype, memory=memory)
    if compile != "off":
        check_compiler()
    target = Target(device=place, dtype=precision, fp8=fp8, memory=memory, compile=compile)
    with no_room_for(model.name):
        return _with_refiner(model, target)


def no_room_for(name: str) -> AbstractContextManager[None]:
    """Turn out-of-memory errors while weights are loaded into ``OutOfMemory``."""
    return out_of_memory_is(
        f"out of memory for the weights of {name}; remedy: memory low or lowest, or dtype fp8"
    )


def without_numbers(model: Checkpoint, dtype: torch.dtype, *, fp8: bool) -> Components:
    """The model on the meta device: only the headers of its files are read."""
    meta = torch.device("meta")
    target = Target(device=meta, dtype=dtype, fp8=fp8, memory="full", compile="off")
    return _with_refiner(model, target)


def _with_refiner(model: Checkpoint, target: Target) -> Components:
    base = _components(model, target)
    if model.refiner is None:
        return base
    shared = _shared(model, model.refiner, base)
    return replace(base, refiner=_components(model.refiner, target, shared))


def _shared(model: Checkpoint, refiner: Checkpoint, base: Components) -> dict[str, Any]:
    """The loaded parts that the refiner has too: its own copies of them are not loaded."""
    shared = {} if "vae" in refiner.weights else {"vae": base.vae}
    for part in refiner.weights.keys() & {"vae", "text_encoder", "text_encoder_2"}:
        if is_copy(model, refiner, part):
            shared[part] = getattr(base, part)
    return shared


def _components(
    model: Checkpoint, target: Target, shared: Mapping[str, Any] = MappingProxyType({})
) -> Components:
    """All parts but the ``shared`` ones loaded, with tokenizers and the facts about the model."""
    own = {part: target.load(model, part) for part in model.weights if part not in shared}
    parts = {**shared, **own}
    tokenizers = {part: load_tokenizer(model, part) for part in model.tokenizers}
    for part, tokenizer in tokenizers.items():
        words = parts[part.replace("tokenizer", "text_encoder")].config.vocab_size
        if len(tokenizer) > words:
            raise ModelError(
                f"{model.name}: {part} has {len(tokenizer)} words, its encoder {words}"
            )
    named = {**parts, **tokenizers}
    if "depth_estimator" in parts:
        named["depth_processor"] = load_depth_processor(model.path)
    if model.family == "refiner":
        named = {name.removesuffix("_2"): part for name, part in named.items()}
    return Components(
        **named,
        scheduler_config=model.scheduler_config,
        force_zeros_for_empty_prompt=model.force_zeros_for_empty_prompt,
        low_res_scheduler_config=model.configs.get("low_res_scheduler"),
        max_noise_level=model.max_noise_level,
        scores=model.scores,
        checkpoint=model,
        runs_on=target.device,
        computes_in=target.dtype,
        memory=target.memory,
        fp8=target.fp8,
        compile=target.compile,
    )
