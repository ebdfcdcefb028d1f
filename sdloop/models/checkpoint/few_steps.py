"""Recognise models that were distilled for a few steps, by what their files say.

Trailing timesteps alone say nothing: fine-tunes with zero terminal SNR have them too. The rules
are narrow, because a wrong match would change every picture of an ordinary model. Names that only
sound like such a model are no reason to change a setting; they give a hint, see ``sounds_like``.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sdloop.models.checkpoint.families import class_name
from sdloop.recipe.presets import HYPER_UNET, PRESETS, is_hyper_unet, preset_fields

Config = Mapping[str, Any]
_TRAINED_AT = 64  # latents: 512 pixels


@dataclass(frozen=True, kw_only=True, slots=True)
class FewSteps:
    """What a model for a few steps is, how that is known, and the Recipe's fields that it needs.

    ``sample_size`` is the side of the latents that it was trained at, where its UNet's config,
    which for a single file is that of its family, says another.
    """

    kind: str
    why: str
    fields: Mapping[str, Any]
    sample_size: int | None = None


def few_steps_of(
    names: Iterable[str],
    family: str,
    configs: Mapping[str, Config],
    *,
    as_sdxl: bool = False,
) -> FewSteps | None:
    """What the model was distilled to, or None for an ordinary model.

    ``names`` are all its names: as the user gave it, and in its own files. ``as_sdxl`` says that a
    single file has the tensor names of SDXL's code.

    - LCM: the UNet has ``time_cond_proj_dim``, or the scheduler is LCM's; nothing else has either.
    - SD-Turbo, SDXL-Turbo, SDXL-Lightning and the UNet of Hyper-SD for one step: the published
      names, if the family fits.
    - SD-Turbo: an SD 2 model of 512 pixels that predicts noise, with an Euler scheduler and
      trailing timesteps. SD 2 fine-tunes with trailing timesteps predict v (zero terminal SNR).
    - SD-Turbo in a single file: SD 2 that predicts noise, with the tensor names of SDXL's code.
      Other published SD 2 files are older than that code.
    - SDXL-Turbo: the same for SDXL, which no other published model with trailing timesteps has:
      ordinary SDXL models are of 1024 pixels.
    """
    unet, scheduler = configs["unet"], configs["scheduler"]
    stems = [published_stem(name) for name in names]
    if family == "upscaler":
        return None
    if unet.get("time_cond_proj_dim") is not None:
        return _lcm_with_guidance(stems, scheduler)
    if class_name(scheduler) == "LCMScheduler":
        return FewSteps(kind="LCM", why="its scheduler is LCM's", fields=_own("lcm"))
    for stem in stems:
        found = _by_name(stem, family)
        if found is not None:
            return found
    epsilon = scheduler.get("prediction_type", "epsilon") == "epsilon"
    if as_sdxl and family == "sd2" and epsilon:
        return _turbo(family, "it is SD 2 with the tensor names of SDXL's code")
    return _turbo_by_configs(family, unet, scheduler)


def _lcm_with_guidance(stems: Iterable[str], scheduler: Config) -> FewSteps:
    """Source: the card of SimianLuo/LCM_Dreamshaper_v7: 4 steps, guidance_scale=8.0, 768 pixels."""
    own = class_name(scheduler) == "LCMScheduler"
    return FewSteps(
        kind="LCM",
        why="its UNet takes the guidance scale as an input (time_cond_proj_dim)",
        fields={"steps": 4, "guidance_scale": 8.0} | ({} if own else {"scheduler": "lcm"}),
        sample_size=96 if any("lcm_dreamshaper" in stem.lower() for stem in stems) else None,
    )


def _own(preset: str) -> dict[str, Any]:
    """The preset's steps and guidance, for a model whose own scheduler is the right one."""
    fields = preset_fields(preset)
    return {name: fields[name] for name in ("steps", "guidance_scale")}


def _turbo_by_configs(family: str, unet: Config, scheduler: Config) -> FewSteps | None:
    like_turbo = (
        unet.get("sample_size") == _TRAINED_AT
        and str(class_name(scheduler)).startswith("Euler")
        and scheduler.get("timestep_spacing") == "trailing"
        and scheduler.get("prediction_type", "epsilon") == "epsilon"
        and not scheduler.get("rescale_betas_zero_snr")
    )
    if not like_turbo or family not in _TURBO:
        return None
    return FewSteps(
        kind=_TURBO[family],
        why="it has 512 pixels, an Euler scheduler and trailing timesteps",
        fields=_own("turbo"),
    )


_TURBO = {"sd2": "SD-Turbo", "sdxl": "SDXL-Turbo"}

# Names of published files and repositories: stabilityai's, then ByteDance's.
_TURBO_NAME = re.compile(
    r"sd(?:[_-]?(xl))?[_-]turbo(?:[_-]1\.0)?(?:[_-]fp(?:16|32))?", re.IGNORECASE
)
_LIGHTNING_NAME = re.compile(
    r"sdxl[_-]lightning[_-]([1248])step(?:[_-]unet)?(?:[_-](x0))?", re.IGNORECASE
)


def _turbo(family: str, why: str) -> FewSteps:
    """SD-Turbo or SDXL-Turbo, with the scheduler and the size of its published configs."""
    xl = family == "sdxl"
    fields = {**preset_fields("turbo"), "scheduler": "euler-a" if xl else "euler"}
    size = _TRAINED_AT if xl else None
    return FewSteps(kind=_TURBO[family], why=why, fields=fields, sample_size=size)


def _by_name(name: str, family: str) -> FewSteps | None:
    turbo, lightning = _TURBO_NAME.fullmatch(name), _LIGHTNING_NAME.fullmatch(name)
    why = f"its name is {name}"
    if turbo and family == ("sdxl" if turbo[1] else "sd2"):
        return _turbo(family, why)
    if lightning and family == "sdxl":
        fields = dict(preset_fields(f"lightning:{lightning[1]}"))
        return FewSteps(kind="SDXL-Lightning", why=why, fields=fields)
    if is_hyper_unet(name) and family == "sdxl":
        return FewSteps(kind="Hyper-SD's UNet for one step", why=why, fields=HYPER_UNET)
    return None


def predicts_clean(name: str) -> bool:
    """Whether a single file is the one-step Lightning checkpoint.

    It predicts the clean picture, and its tensors do not say so (its card: "prediction_type" is
    "sample").
    """
    found = _LIGHTNING_NAME.fullmatch(published_stem(name))
    return found is not None and found[2] is not None


def published_stem(name: str) -> str:
    """The last part of a path or a hub id, without the suffix of a weight file.

    >>> published_stem("stabilityai/sd-turbo"), published_stem("models/sd_turbo.safetensors")
    ('sd-turbo', 'sd_turbo')
    """
    last = re.split(r"[/\\]", name.rstrip("/\\"))[-1]
    return re.sub(r"\.(safetensors|ckpt|bin|pt|pth)$", "", last, flags=re.I)


# What names say of files for a few steps; the number of steps may follow or come before.
_SOUNDS = {
    "lightning": re.compile(r"(?<![a-z])lightning(?![a-z])"),
    "hyper": re.compile(r"(?<![a-z])hyper[ _-]?(sdxl|sd15|sd)(?![a-z])"),
    "lcm": re.compile(r"(?<![a-z])lcm(?![a-z])"),
    "turbo": re.compile(r"(?<![a-z])turbo(?![a-z])"),
}
_STEPS = re.compile(r"(?<!\d)(\d{1,2})[ _-]?steps?(?![a-z])")


def sounds_like(names: Iterable[str]) -> str | None:
    """The preset that one of the ``names`` suggests, with a number of steps if there is such a one.

    >>> sounds_like(["Hyper-SDXL-8steps-lora"]), sounds_like(["realvisxlV40_v40LightningBakedvae"])
    ('hyper:8', 'lightning')
    >>> sounds_like(["pytorch_lora_weights", "hyperrealism"]) is None
    True
    """
    for name in names:
        # "v40LightningBaked" is three words.
        text = re.sub(r"(?<=[a-z0-9])(?=[A-Z][a-z])", " ", name)
        text = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", text).lower()
        for preset, pattern in _SOUNDS.items():
            if pattern.search(text) and (preset != "lightning" or _of_sdxl(text)):
                return _with_steps(preset, text)
    return None


def _of_sdxl(text: str) -> bool:
    """Whether a name with "lightning" is of the distillation, and not of the weather."""
    return "xl" in text or _STEPS.search(text) is not None


def _with_steps(preset: str, text: str) -> str:
    steps = _STEPS.search(text)
    known = steps is not None and int(steps[1]) in PRESETS[preset].rows
    return f"{preset}:{int(steps[1])}" if known and steps is not None else preset
