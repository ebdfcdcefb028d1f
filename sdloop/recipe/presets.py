"""Presets: the settings that models and LoRAs distilled for a few steps are made for.

A preset is a table of field values, like a settings file. ``--preset lightning:4`` sets the fields
of its row that nobody has set; the Recipe in the picture's file holds these fields and not the
preset's name. A guidance scale of 1 is what the models' cards write as ``guidance_scale=0``:
without guidance.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.errors import SettingError
from sdloop.recipe.strength import DEFAULT_STRENGTH, schedule_for
from sdloop.schedulers.names import SCHEDULERS, parse_scheduler
from sdloop.schedulers.supported import is_known

Fields = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Preset:
    """``rows`` are the fields for each number of steps, ``usual`` the number that is the default.

    ``source`` says where the values come from.
    """

    rows: Mapping[int, Fields]
    usual: int
    source: str


def _rows(steps: Iterable[int], **fields: Any) -> dict[int, Fields]:
    return {count: {"steps": count, **fields} for count in steps}


_TRAILING: Fields = {"guidance_scale": 1.0, "timestep_spacing": "trailing"}

PRESETS: Mapping[str, Preset] = {
    "turbo": Preset(
        rows=_rows(range(1, 5), scheduler="euler-a", **_TRAILING),
        usual=1,
        source="https://huggingface.co/stabilityai/sdxl-turbo",
    ),
    "lcm": Preset(
        rows=_rows(range(1, 9), scheduler="lcm", guidance_scale=1.0),
        usual=4,
        source="https://huggingface.co/latent-consistency/lcm-lora-sdxl",
    ),
    "lightning": Preset(
        rows=_rows((1, 2, 4, 8), scheduler="euler", **_TRAILING),
        usual=4,
        source="https://huggingface.co/ByteDance/SDXL-Lightning",
    ),
    # One step is the "unified" LoRA; 12 steps exist only with guidance preserved, for 5 to 8.
    "hyper": Preset(
        rows={
            **_rows((1,), scheduler="tcd", guidance_scale=1.0, eta=1.0),
            **_rows((2, 4, 8), scheduler="ddim", **_TRAILING),
            **_rows((12,), scheduler="ddim", **{**_TRAILING, "guidance_scale": 5.0}),
        },
        usual=8,
        source="https://huggingface.co/ByteDance/Hyper-SD",
    ),
}

# Of Hyper-SD there is also a UNet for one step, alone in a file or in a whole model. Unlike the
# LoRA of ``hyper:1``, its card runs it with LCM's scheduler from timestep 800.
HYPER_UNET: Fields = {
    "steps": 1,
    "scheduler": "lcm",
    "guidance_scale": 1.0,
    "timesteps": (800,),
}
_HYPER_UNET_NAME = re.compile(
    r"(?:^|[/\\])hyper-sdxl-1step-unet(?:-comfyui)?(?:\.fp16)?(?:\.safetensors)?$", re.IGNORECASE
)

# A preset takes the place of these in a lower source: what it sets, and what would contradict it.
PRESET_FIELDS = (
    *("steps", "guidance_scale", "scheduler", "timestep_spacing", "eta"),
    *("guidance_schedule", "sigmas", "timesteps", "sigmas_list"),
    *("learning_rate", "weight_decay", "stop_noise"),
)


def parse_preset(text: str) -> tuple[str, int]:
    """The name of a preset, and its number of steps.

    Raises ``SettingError`` with the choices for an unknown name or number.

    >>> parse_preset("lightning"), parse_preset("hyper:2")
    (('lightning', 4), ('hyper', 2))
    """
    name, colon, count = text.partition(":")
    if name not in PRESETS:
        raise SettingError.of("preset", f"must be one of {', '.join(PRESETS)}, got {text!r}")
    preset = PRESETS[name]
    if not colon:
        return name, preset.usual
    if not count.isascii() or not count.isdigit() or int(count) not in preset.rows:
        choices = ", ".join(f"{name}:{steps}" for steps in preset.rows)
        raise SettingError.of("preset", f"{name} must be one of {choices}, got {text!r}")
    return name, int(count)


def preset_fields(text: str) -> Fields:
    """The fields that a preset stands for.

    >>> preset_fields("lcm:8")
    {'steps': 8, 'scheduler': 'lcm', 'guidance_scale': 1.0}
    """
    name, steps = parse_preset(text)
    return PRESETS[name].rows[steps]


def with_preset(values: Mapping[str, Any]) -> dict[str, Any]:
    """``values`` with the fields of their preset in its place; what they set themselves wins."""
    given = {name: value for name, value in values.items() if name != "preset"}
    if values.get("preset") is None:
        return given
    return {**from_preset(values["preset"], given), **given}


def from_preset(text: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of a preset that apply to a Recipe with the ``given`` settings.

    Left out are those that are given, and those that have no effect with what is given: guidance
    with a guidance schedule, steps with listed steps, what another scheduler does not know.

    >>> from_preset("hyper:1", {"unet": "ByteDance/Hyper-SD/Hyper-SDXL-1step-Unet.safetensors"})
    {'steps': 1, 'scheduler': 'lcm', 'guidance_scale': 1.0, 'timesteps': (800,)}
    """
    taken = {name for name in given if given[name] is not None}
    if is_spaced_otherwise(given):
        taken.add("timestep_spacing")
    if taken & {"timesteps", "sigmas_list"}:
        taken.add("steps")
    if "guidance_schedule" in taken:
        taken.add("guidance_scale")
    if "scheduler" in taken:
        knows = SCHEDULERS[parse_scheduler(given["scheduler"])[0]].knows
        own = ("timestep_spacing", "eta", "timesteps")
        taken |= {name for name in own if not is_known(name, knows)}
    if not may_list_timesteps(given):
        taken.add("timesteps")
    fields = {name: v for name, v in _fields_for(text, given).items() if name not in taken}
    if "steps" in fields:
        fields["steps"] = enough_steps(fields["steps"], given)
    return fields


def _fields_for(text: str, given: Mapping[str, Any]) -> Fields:
    unet = given.get("unet") or given.get("model") or ""
    if parse_preset(text) == ("hyper", 1) and is_hyper_unet(unet):
        return HYPER_UNET
    return preset_fields(text)


def is_hyper_unet(name: str) -> bool:
    """Whether a file has the name of Hyper-SD's UNet for one step, as it was published.

    >>> is_hyper_unet("models/Hyper-SDXL-1step-Unet-Comfyui.fp16.safetensors")
    True
    >>> is_hyper_unet("Hyper-SDXL-1step-lora.safetensors")
    False
    """
    return _HYPER_UNET_NAME.search(name) is not None


def may_list_timesteps(given: Mapping[str, Any]) -> bool:
    """Whether the ``given`` settings leave room for a listed first timestep: one step, from noise.

    Any other number of steps, or a picture to start from, has the scheduler's own timesteps.
    """
    others = ("timesteps", "sigmas_list", "sigmas", "timestep_spacing", "image", "hires")
    return given.get("steps") in (None, 1) and all(given.get(name) is None for name in others)


def is_spaced_otherwise(given: Mapping[str, Any]) -> bool:
    """Whether the ``given`` settings space the timesteps without ``timestep_spacing``."""
    return any(given.get(name) is not None for name in ("timesteps", "sigmas_list"))


def enough_steps(steps: int, given: Mapping[str, Any]) -> int:
    """``steps``, or as many more as let a picture start from another with one step to run.

    With a strength of 0.5, one step of two is run, as in SDXL-Turbo's card for image-to-image
    ("num_inference_steps * strength should be larger or equal to 1"). An enlarged picture without
    a strength gets two steps: with one, nothing of it would be left.

    >>> picture = {"image": "a.png"}
    >>> enough_steps(1, picture | {"strength": 0.5}), enough_steps(4, picture | {"strength": 0.5})
    (2, 4)
    """
    strength = given.get("strength")
    from_noise = given.get("image") is None and given.get("hires") is None
    others = ("start_step", "mask", "factor", "hires", "left", "right", "up", "down")
    if strength is None and not any(given.get(name) is not None for name in others):
        strength = DEFAULT_STRENGTH
    enlarges = given.get("factor") is not None or given.get("hires") is not None
    if strength is None and enlarges and steps == 1 and not given.get("exact_steps"):
        return 2
    if from_noise or not strength or given.get("exact_steps") or int(steps * strength) >= 1:
        return steps
    return schedule_for(1, strength)
