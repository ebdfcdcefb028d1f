"""Find, recognise and hash LoRAs on disk, before a model is loaded."""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdloop.errors import ModelError
from sdloop.models.checkpoint.addresses import ENDINGS, CivitaiAddress, HubAddress, address_of
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.headers import Header, read_header
from sdloop.models.checkpoint.hub_single import single_file
from sdloop.models.checkpoint.repository import ask_hub, cached
from sdloop.models.checkpoint.value import Checkpoint

# diffusers' name for the only LoRA in a folder or hub repository.
USUAL = "pytorch_lora_weights.safetensors"

# The names of a LoRA's two matrices, and of kohya's alpha, in all layouts that diffusers reads.
_PAIR = re.compile(
    r"(?:lora_down|lora_up|lora_A|lora_B|lora\.down|lora\.up|lora_linear_layer\.down"
    r"|lora_linear_layer\.up|_lora\.down|_lora\.up)\.weight$|\.alpha$"
)
_DOWN = re.compile(r"(?:lora_down|lora_A|[._]lora\.down|lora_linear_layer\.down)\.weight$")
# The prefixes of each part's tensor names, in kohya's and in diffusers' layout.
_STARTS = {
    "unet": ("lora_unet_", "unet."),
    "text_encoder": ("lora_te_", "lora_te1_", "text_encoder."),
    "text_encoder_2": ("lora_te2_", "text_encoder_2."),
}
# What else a file may be, by a part of any tensor name; the first match counts.
_OTHERS = {
    "bundle_emb.": "a LoRA with learned embeddings bundled into it, which only A1111 reads: use "
    "the LoRA and the embeddings as separate files",
    "dora_scale": "a DoRA, which diffusers does not run",
    "hada_w1": "a LoHa of LyCORIS, which diffusers does not run",
    "lokr_w": "a LoKr of LyCORIS, which diffusers does not run on a UNet",
    "oft_": "an OFT, which diffusers does not run",
    "lora_mid": "a LoCon with three matrices per layer, which diffusers does not run",
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
    widths
        Part → the width of its text embeddings or layers; 0 if it cannot be detected.
    """

    name: str
    path: Path
    sha256: str
    tensors_sha256: str
    widths: Mapping[str, int]


FindLora = Callable[[str], LoraFile]


def find_lora(name: str, *, may_fetch: bool = True) -> LoraFile:
    """The LoRA that ``name`` means, downloaded if it is on the hub or on Civitai and not here yet.

    It may be a path, a hub id, ``owner/name/FILE.safetensors`` or a web address.

    Raises ``ModelError`` for a file that is missing, damaged, or not a LoRA for a supported UNet.
    """
    path = _path(name, may_fetch=may_fetch)
    header = read_header(path)
    widths = _recognised(header)
    sha256, tensors_sha256 = _hashes(path, header)
    return LoraFile(
        name=name, path=path, sha256=sha256, tensors_sha256=tensors_sha256, widths=widths
    )


def check_lora(file: LoraFile, checkpoint: Checkpoint) -> None:
    """Raise ``ModelError`` for a LoRA of another family than ``checkpoint``, naming the family."""
    own = {
        part: int(config.get("cross_attention_dim" if part == "unet" else "hidden_size", 0))
        for part, config in checkpoint.configs.items()
        if part in _STARTS
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


def _recognised(header: Header) -> dict[str, int]:
    """Part → its width; raises ``ModelError`` if it is not a LoRA in a known layout."""
    names = list(header.tensors)
    for piece, what in _OTHERS.items():
        if any(piece in name for name in names):
            raise ModelError(f"{header.path} is {what}")
    if not any(_DOWN.search(name) for name in names):
        raise ModelError(f"{header.path} is not a LoRA: its tensors are {listed(names) or 'none'}")
    starts = tuple(start for part in _STARTS.values() for start in part)
    lost = [n for n in names if not n.startswith(starts) or not _PAIR.search(n)]
    if lost:
        raise ModelError(
            f"{header.path} is a LoRA in an unknown layout, neither kohya's nor diffusers': "
            f"it has {listed(lost)}"
        )
    parts = [part for part in _STARTS if any(name.startswith(_STARTS[part]) for name in names)]
    return {part: _width(header, part) for part in parts}


def _width(header: Header, part: str) -> int:
    layer = "attn2[._].*to_k" if part == "unet" else "q_proj|k_proj|v_proj"
    for name, shape in header.tensors.items():
        told = name.startswith(_STARTS[part]) and _DOWN.search(name) and re.search(layer, name)
        if told and len(shape) > 1:
            return shape[1]
    return 0


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
