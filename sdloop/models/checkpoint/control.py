"""Find, recognise and hash ControlNets and T2I-Adapters on disk, before a model is loaded."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.errors import ModelError, SettingError
from sdloop.models.checkpoint.control_facts import LDM, facts_of, whole_config
from sdloop.models.checkpoint.families import class_name
from sdloop.models.checkpoint.hashes import folder_sha256, sha256_of
from sdloop.models.checkpoint.headers import read_header
from sdloop.models.checkpoint.other_parts import PartPlace, part_place, read_part_folder
from sdloop.models.checkpoint.t2i_adapter import check_adapter
from sdloop.recipe.controls import MODES, Control

# The Recipe's field → the subfolder of a repository, and the class in the config.
PARTS = {"controls": "controlnet", "t2i_adapters": "t2i_adapter"}
CLASSES = {
    "controls": ("ControlNetModel", "ControlNetUnionModel", "ControlNetModel_Union"),
    "t2i_adapters": ("T2IAdapter",),
}

# The ControlNet that comes with the embedded model.
EDGES = "edges"
MINI_EDGES = Path(__file__).parent.parent.parent / "mini_edges"

# What a ControlNet and its UNet have in common, and the value where a config does not say it.
_EQUAL = {
    "cross_attention_dim": 1280,
    "block_out_channels": (320, 640, 1280, 1280),
    "layers_per_block": 2,
}
# What else those have that are told sizes, as SDXL is; small ones for SDXL are not told any.
_WITH_SIZES = {"addition_embed_type": None, "projection_class_embeddings_input_dim": None}


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

    @property
    def modes(self) -> int:
        """How many kinds of pictures a ControlNet-Union knows; 0 for all that is none."""
        known = self.config.get("num_control_type")
        usual = 6 if "Union" in (class_name(self.config) or "") else 0
        return known if isinstance(known, int) else usual

    def config_for(self, unet: Mapping[str, Any]) -> dict[str, Any]:
        """The whole config, for a model with a UNet of this config."""
        if not self.single:
            return dict(self.config)
        return whole_config(self.field, self.config, unet)


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
        if kind not in CLASSES[field]:
            found, wanted = kind or "a model without a name", CLASSES[field][0]
            raise ModelError(f"{field} must be a {wanted}, got {found}: {name}")
        sha256 = folder_sha256(config, files)
        return ControlFile(
            field=field, name=name, files=files, config=config, single=False, sha256=sha256
        )
    header = read_header(place.path)
    return ControlFile(
        field=field,
        name=name,
        files=(place.path,),
        config=facts_of(field, header),
        single=True,
        sha256=sha256_of(place.path),
        prefix=LDM if any(one.startswith(LDM) for one in header.tensors) else "",
    )


def check_control(file: ControlFile, unet: Mapping[str, Any], model: str, factor: int) -> None:
    """Raise ``ModelError`` for one that was not trained for such a UNet.

    ``factor`` is that of the model's VAE: pixels per latent.
    """
    config = file.config_for(unet)
    if file.field == "t2i_adapters":
        check_adapter(file.name, config, unet, model, factor)
        return
    for name, own, needed in _differences(config, unet):
        is_embedded = f"{file.name} is the embedded model's, and does not suit {model}"
        differs = f"{file.name} has the {name} {own}, and {model} has {needed}"
        why = is_embedded if file.name == EDGES else differs
        raise ModelError(f"controls must be made for the model's family: {why}")
    colours = config.get("conditioning_channels", 3)
    if colours != 3:
        raise ModelError(
            f"controls must have the conditioning_channels 3, got {colours}: {file.name}"
        )
    steps = config.get("conditioning_embedding_out_channels") or (16, 32, 96, 256)
    if 2 ** (len(steps) - 1) != factor:
        raise ModelError(
            f"controls must make pictures {factor} times smaller for {model}, and {file.name} "
            f"makes them {2 ** (len(steps) - 1)} times smaller"
        )


def check_mode(control: Control, file: ControlFile) -> None:
    """Raise ``SettingError`` if a ControlNet-Union is not told its picture's kind, or another is.

    ``control`` has its own ``preprocess``, or that of all.
    """
    name, mode = f"{control.field}.mode", control.seen_as
    if not file.modes and control.mode is not None:
        raise SettingError.of(
            name, f"is for a ControlNet-Union, and {file.name} is none, got {control.mode}"
        )
    if file.modes and mode is None:
        known = ", ".join(MODES[: file.modes])
        raise SettingError.of(
            name,
            f"must be given for a ControlNet-Union, as in {file.name}#canny={control.image}: "
            f"one of {known}",
        )
    if file.modes and mode is not None and mode >= file.modes:
        raise SettingError.of(name, f"must be below {file.modes} for {file.name}, got {mode}")


def _differences(
    config: Mapping[str, Any], unet: Mapping[str, Any]
) -> Iterator[tuple[str, str, str]]:
    """What must be equal and is not: its name, that of the ControlNet and that of the UNet."""
    sizes = _WITH_SIZES if config.get("addition_embed_type") is not None else {}
    for name, usual in (_EQUAL | sizes).items():
        own, needed = (_listed(one.get(name, usual)) for one in (config, unet))
        if own != needed:
            yield name, own, needed
    # An inpainting UNet takes more; what it predicts is as wide as the latents.
    latents, own = unet.get("out_channels", 4), config.get("in_channels", 4)
    if own != latents:
        yield "in_channels", own, f"latents of {latents}"


def _listed(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
