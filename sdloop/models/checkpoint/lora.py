"""Find, recognise and hash LoRAs on disk, before a model is loaded."""

import hashlib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import ENDINGS, CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.few_steps_loras import lora_preset
from sdloop.models.checkpoint.headers import Header, read_header
from sdloop.models.checkpoint.hub_single import single_file
from sdloop.models.checkpoint.lora_names import ORDINARY, PARTS, LayerTensor, is_of_layer, read_name
from sdloop.models.checkpoint.repository import ask_hub, cached
from sdloop.models.checkpoint.value import Checkpoint

# diffusers' name for the only LoRA in a folder or hub repository.
USUAL = "pytorch_lora_weights.safetensors"

# What else a file may be, by a part of any tensor name; the first match counts.
_OTHERS = {
    "bundle_emb.": "a LoRA with learned embeddings bundled into it, which only A1111 reads: use "
    "the LoRA and the embeddings as separate files",
    ".oft_": "an OFT, which sdloop does not support",
    ".a1.weight": "a GLoRA, which sdloop does not support",
    ".on_input": "an IA3, which sdloop does not support",
    ".lambda_layer": "a T-LoRA, which sdloop does not support",
    ".bias_indices": "a LoCon with sparse differences, which sdloop does not support",
    "lora_unet_double_blocks": "a LoRA for Flux",
    "lora_unet_joint_blocks": "a LoRA for Stable Diffusion 3",
    "transformer.": "a LoRA for a transformer such as Flux or Stable Diffusion 3",
    "diffusion_model.double_blocks": "a LoRA for Flux",
    "lora_te3_": "a LoRA for Stable Diffusion 3",
    "motion_modules": "an AnimateDiff motion module",
    "lora_controlnet": "a Control-LoRA",
    "emb_params": "a learned embedding",
    "clip_l": "a learned embedding",
    "model.diffusion_model.": "a whole model (use it with --model)",
    "down_blocks.0.resnets.0.conv1.weight": "a UNet",
}
# The layers of a UNet whose inputs are text embeddings; in text encoders, any of attention.
_TELLING = {"unet": "attn2.*to_k"}
# The width of the text embeddings that a UNet attends to → the model family.
_FAMILIES = {768: "Stable Diffusion 1.x", 1024: "Stable Diffusion 2.x", 2048: "SDXL"}


@dataclass(frozen=True, kw_only=True, slots=True)
class LoraFile:
    """A LoRA on disk.

    name
        As the user gave it: a file, a folder or a hub id.
    sha256, tensors_sha256
        The hash of the whole file, and of the part after its header, by which A1111 and Civitai
        identify LoRAs (equal for a pickle).
    preset
        The preset that it was distilled for, and how that is known; None for an ordinary LoRA.
    widths
        Part → the width of its text embeddings or layers; 0 if it cannot be detected.
    ordinary
        Whether it consists of pairs of thin matrices; otherwise whole weights are replaced.
    """

    name: str
    path: Path
    sha256: str
    tensors_sha256: str
    widths: Mapping[str, int]
    preset: tuple[str, str] | None = None
    ordinary: bool = True


FindLora = Callable[[str], LoraFile]


def find_lora(name: str, *, may_fetch: bool = True) -> LoraFile:
    """The LoRA that ``name`` means, downloaded if it is on the hub or on Civitai and not here yet.

    It may be a path, a hub id, ``owner/name/FILE.safetensors`` or a web address.

    Raises ``ModelError`` for a file that is missing, damaged, or not a LoRA for a supported UNet.
    """
    path = _path(name, may_fetch=may_fetch)
    header = read_header(path)
    tensors = _recognised(header)
    sha256, tensors_sha256 = _hashes(path, header)
    return LoraFile(
        name=name,
        path=path,
        sha256=sha256,
        tensors_sha256=tensors_sha256,
        widths=_widths(header, tensors),
        ordinary=all(tensor.kind in ORDINARY for tensor in tensors.values()),
        preset=lora_preset((name, path.name), header.notes, sha256),
    )


def check_lora(file: LoraFile, checkpoint: Checkpoint) -> None:
    """Raise ``ModelError`` for a LoRA of another family than ``checkpoint``, naming the family."""
    own = {
        part: int(config.get("cross_attention_dim" if part == "unet" else "hidden_size", 0))
        for part, config in checkpoint.configs.items()
        if part in PARTS and (part == "unet" or checkpoint.family != "refiner")
    }
    for part, width in file.widths.items():
        if part not in own:
            raise ModelError(
                f"{file.name} is a LoRA for SDXL, with a second text encoder, and "
                f"{checkpoint.name} has none"
            )
        if width not in (0, own[part]):
            raise ModelError(
                f"{file.name} is a LoRA for {_family(file.widths)}: its {part.replace('_', ' ')} "
                f"has width {width}, that of {checkpoint.name} has {own[part]}"
            )


def _family(widths: Mapping[str, int]) -> str:
    if "text_encoder_2" in widths:
        return "SDXL"
    width = widths.get("unet") or widths.get("text_encoder", 0)
    return _FAMILIES.get(width, "another model")


def _path(name: str, *, may_fetch: bool) -> Path:
    place = address_of(name, endings=ENDINGS)
    if isinstance(place, CivitaiAddress):
        return civitai_file(place, may_fetch=may_fetch)
    if isinstance(place, HubAddress):
        return _from_hub(name, place, may_fetch=may_fetch)
    return place / _only_one(_files(place), name) if place.is_dir() else place


def _from_hub(name: str, place: HubAddress, *, may_fetch: bool) -> Path:
    """The file of a repository; if none is named, the one with the usual name or the only one."""
    if "/" not in place.model:
        raise ModelError(
            f"{name!r} is neither a file nor a hub id like owner/name (NAME[:SCALE]); a name alone "
            "is looked up in --lora-dir"
        )
    file, folder = place.file, cached(place.model, place.revision)
    if file is None and folder is not None and (held := _files(folder)):
        return folder / _only_one(held, name)
    if file is None and may_fetch:
        why = f"{name} is not in the cache"
        names = ask_hub(place.model, place.revision, why, [USUAL]).names
        files = [n for n in names if "/" not in n and n.lower().endswith(".safetensors")]
        file = _only_one(files, name)
    return single_file(place.model, place.revision, file or USUAL, may_fetch=may_fetch)


def _files(folder: Path) -> list[str]:
    return [p.name for p in folder.glob("*") if p.suffix.lower() == ".safetensors" and p.is_file()]


def _only_one(files: list[str], folder: str) -> str:
    """The LoRA among the files of a folder: with the usual name, or the only file."""
    usual = [file for file in files if file == USUAL] or files
    if len(usual) == 1:
        return usual[0]
    if not files:
        raise ModelError(f"{folder} holds no .safetensors file")
    raise ModelError(f"{folder} holds {len(files)} files: name one of {listed(sorted(files))}")


def _recognised(header: Header) -> dict[str, LayerTensor]:
    """What each tensor is; raises ``ModelError`` if it is not a LoRA in a known layout."""
    names = list(header.tensors)
    for piece, what in _OTHERS.items():
        if any(piece in name for name in names):
            raise ModelError(f"{header.path} is {what}")
    if not any(map(is_of_layer, names)):
        raise ModelError(f"{header.path} is not a LoRA: its tensors are {listed(names) or 'none'}")
    known = {name: tensor for name in names if (tensor := read_name(name)) is not None}
    lost = [name for name in names if name not in known]
    if lost:
        raise ModelError(
            f"{header.path} is a LoRA in an unknown layout, neither kohya's nor diffusers': "
            f"it has {listed(lost)}"
        )
    return known


def _widths(header: Header, tensors: Mapping[str, LayerTensor]) -> dict[str, int]:
    """Part → its width; 0 if no layer of the part tells it."""
    widths = {part: 0 for part in PARTS if any(part == one.part for one in tensors.values())}
    layers: dict[tuple[str, str], dict[str, tuple[int, ...]]] = {}
    for name, one in tensors.items():
        layers.setdefault((one.part, one.layer), {})[one.kind] = header.tensors[name]
    for (part, layer), shapes in layers.items():
        if re.search(_TELLING.get(part, "[qkv]_proj"), layer):
            widths[part] = widths[part] or _inputs(shapes)
    return widths


def _inputs(shapes: Mapping[str, tuple[int, ...]]) -> int:
    """How many inputs a linear layer has, by the shapes of its tensors in a LoRA; 0 if unknown."""
    for kind in ("down", "hada_w1_b", "diff"):
        if len(shapes.get(kind, ())) > 1:
            return shapes[kind][1]
    halves = [shapes.get(f"lokr_w{i}", shapes.get(f"lokr_w{i}_b", ())) for i in (1, 2)]
    return math.prod(half[1] if len(half) > 1 else 0 for half in halves)


def _hashes(path: Path, header: Header) -> tuple[str, str]:
    """The sha256 of a file, and of the part after its header."""
    start = min((first for _, first, _ in header.offsets.values()), default=0)
    whole, tensors = hashlib.sha256(), hashlib.sha256()
    try:
        with path.open("rb") as file:
            whole.update(file.read(start))
            while block := file.read(2**20):
                whole.update(block)
                tensors.update(block)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    return whole.hexdigest(), tensors.hexdigest()


def listed(names: Iterable[str]) -> str:
    """The first four of ``names``, and how many more there are."""
    known = list(names)
    return ", ".join(known[:4]) + (f" and {len(known) - 4} more" if len(known) > 4 else "")
