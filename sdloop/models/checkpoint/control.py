"""Find, recognise and hash ControlNets and T2I-Adapters on disk, before a model is loaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError
from sdloop.models.checkpoint.families import class_name
from sdloop.models.checkpoint.hashes import folder_sha256, sha256_of
from sdloop.models.checkpoint.headers import Header, read_header
from sdloop.models.checkpoint.other_parts import PartPlace, part_place, read_part_folder

# The Recipe's field → the subfolder of a repository, and the class in the config.
PARTS = {"controls": "controlnet", "t2i_adapters": "t2i_adapter"}
CLASSES = {"controls": "ControlNetModel", "t2i_adapters": "T2IAdapter"}

# The ControlNet that comes with the embedded model.
EDGES = "edges"
MINI_EDGES = Path(__file__).parent.parent.parent / "mini_edges"

# How the tensors' names begin in files of ControlNet's authors.
LDM = "control_model."
_HINT = ("controlnet_cond_embedding.conv_in.weight", "input_hint_block.0.weight")
# What else a file may be, by a part of any tensor's name; the first match counts.
_OTHERS = {
    "lora_controlnet": "a Control-LoRA, which sdloop does not support",
    "lllite_": "a ControlNet-LLLite, which sdloop does not support",
    "task_embedding": "a ControlNet-Union, which sdloop does not support",
    "adapter.": "a T2I-Adapter",
    "down_blocks.0.resnets.0.conv1.weight": "a UNet",
    "model.diffusion_model.": "a whole model (use it with --model)",
    "lora_": "a LoRA (use it with --lora)",
}
# What a ControlNet without a config has in common with the UNet that it was trained for.
_SHARED = (
    *("encoder_hid_dim", "encoder_hid_dim_type", "addition_embed_type", "addition_time_embed_dim"),
    *("transformer_layers_per_block", "flip_sin_to_cos", "freq_shift", "down_block_types"),
    *("only_cross_attention", "block_out_channels", "layers_per_block", "downsample_padding"),
    *("mid_block_scale_factor", "act_fn", "norm_num_groups", "norm_eps", "cross_attention_dim"),
    *("attention_head_dim", "num_attention_heads", "use_linear_projection", "upcast_attention"),
    *("resnet_time_scale_shift", "projection_class_embeddings_input_dim", "mid_block_type"),
)
_WIDTHS = {"cross_attention_dim": 1280, "block_out_channels": (320, 640, 1280, 1280)}


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlFile:
    """A ControlNet or T2I-Adapter on disk, by the Recipe's ``field``.

    ``name`` is as the user gave it. A single file has only the part of a ``config`` that its
    tensors tell; the rest is that of the UNet. ``sha256`` is the file's, or for a folder a hash of
    its config and weights. The names of its tensors begin with ``prefix``, if the file holds a
    whole model too.
    """

    field: str
    name: str
    files: tuple[Path, ...]
    config: Mapping[str, Any]
    single: bool
    sha256: str
    prefix: str = ""

    def config_for(self, unet: Mapping[str, Any]) -> dict[str, Any]:
        """The whole config, for a model with a UNet of this config."""
        if not self.single:
            return dict(self.config)
        return {**{name: unet[name] for name in _SHARED if name in unet}, **self.config}


FindControl = Callable[[str, str], ControlFile]


def find_control(name: str, field: str = "controls", *, may_fetch: bool = True) -> ControlFile:
    """The ControlNet or T2I-Adapter that ``name`` means, downloaded if it is not here.

    It may be a folder, a file, a hub id, ``owner/name/FILE.safetensors``, a web address, or the
    embedded ControlNet ``edges``. Raises ``ModelError`` for a file that is missing, damaged, or not
    of this kind.
    """
    if (field, name) == ("controls", EDGES):
        place = PartPlace(name=name, part=PARTS[field], path=MINI_EDGES)
    else:
        place = part_place(PARTS[field], name, None, may_fetch=may_fetch)
    if place.path.is_dir():
        config, files = read_part_folder(place)
        kind = class_name(config)
        if kind != CLASSES[field]:
            told = kind or "a model without a name"
            raise ModelError(f"{field} must be a {CLASSES[field]}, got {told}: {name}")
        sha256 = folder_sha256(config, files)
        return ControlFile(
            field=field, name=name, files=files, config=config, single=False, sha256=sha256
        )
    if field != "controls":
        raise ModelError(f"{field} must be a folder with a config.json, or a hub id, got {name}")
    header = read_header(place.path)
    return ControlFile(
        field=field,
        name=name,
        files=(place.path,),
        config=_facts(header),
        single=True,
        sha256=sha256_of(place.path),
        prefix=LDM if any(one.startswith(LDM) for one in header.tensors) else "",
    )


def check_control(file: ControlFile, unet: Mapping[str, Any], model: str, factor: int) -> None:
    """Raise ``ModelError`` for one that was not trained for such a UNet.

    ``factor`` is that of the model's VAE: pixels per latent.
    """
    if file.field == "t2i_adapters":
        _check_adapter(file, unet, model, factor)
        return
    config = file.config_for(unet)
    for name, usual in _WIDTHS.items():
        own, needed = (_listed(one.get(name, usual)) for one in (config, unet))
        if own != needed:
            is_embedded = f"{file.name} is the embedded model's, and does not suit {model}"
            differs = f"{file.name} has the {name} {own}, and {model} has {needed}"
            why = is_embedded if file.name == EDGES else differs
            raise ModelError(f"controls must be made for the model's family: {why}")
    if (config.get("addition_embed_type") == "text_time") != (
        unet.get("addition_embed_type") == "text_time"
    ):
        raise ModelError(
            f"controls must be made for the model's family: one of {file.name} and {model} is for "
            "SDXL, the other is not"
        )
    steps = config.get("conditioning_embedding_out_channels") or (16, 32, 96, 256)
    if 2 ** (len(steps) - 1) != factor:
        raise ModelError(
            f"controls must make pictures {factor} times smaller for {model}, and {file.name} "
            f"makes them {2 ** (len(steps) - 1)} times smaller"
        )


def _check_adapter(file: ControlFile, unet: Mapping[str, Any], model: str, factor: int) -> None:
    """An adapter for SDXL begins at half the size of the latents, and has a layer more."""
    large = file.config.get("adapter_type") == "full_adapter_xl"
    channels = tuple(file.config.get("channels", _WIDTHS["block_out_channels"]))
    own = channels[:-1] if large else channels, file.config.get("downscale_factor", 8)
    needed = tuple(unet.get("block_out_channels", ())), 2 * factor if large else factor
    if own != needed or large != (unet.get("addition_embed_type") == "text_time"):
        raise ModelError(
            f"t2i_adapters must be made for the model's family: {file.name} is a "
            f"{file.config.get('adapter_type', 'full_adapter')} of the channels "
            f"{_listed(channels)}, and {model} has {_listed(needed[0])}"
        )


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def _facts(header: Header) -> dict[str, Any]:
    """What the shapes of a single file's tensors tell about its config."""
    tensors = {name.removeprefix(LDM): shape for name, shape in header.tensors.items()}
    start = next((name for name in _HINT if name in tensors), None)
    if start is None or any(piece in name for piece in ("task_embedding",) for name in tensors):
        found = (what for piece, what in _OTHERS.items() if any(piece in one for one in tensors))
        what = next(found, "not a ControlNet: it has no layers for a picture of edges or depths")
        raise ModelError(f"{header.path} is {what}")
    facts: dict[str, Any] = {
        "conditioning_channels": tensors[start][1],
        "conditioning_embedding_out_channels": _halvings(tensors, start),
    }
    widths = [shape[-1] for name, shape in tensors.items() if name.endswith("attn2.to_k.weight")]
    return facts | ({"cross_attention_dim": widths[0]} if widths else {})


def _halvings(tensors: Mapping[str, tuple[int, ...]], start: str) -> tuple[int, ...]:
    """The channels of the layers that make the picture as small as the latents."""
    layer, places = "controlnet_cond_embedding.blocks.{}.weight", range(1, 15, 2)
    if start == _HINT[1]:
        layer, places = "input_hint_block.{}.weight", range(4, 14, 4)
    names = map(layer.format, places)
    return (tensors[start][0], *(tensors[name][0] for name in names if name in tensors))
