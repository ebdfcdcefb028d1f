"""The Recipe: every setting that decides the pixels of one picture, and nothing else.

It is frozen, checked when it is made, and travels everywhere: from flags or TOML into
``generate``, and from there into the picture's own file, out of which it can be read and run
again. Device, precision, output path and batch size belong to the command, not here: they must
not change what is seen.
"""

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sdloop.defaults import Defaults
from sdloop.errors import SettingError
from sdloop.rules import (
    MAX_SIDE,
    Size,
    check_choice,
    check_multiple,
    check_number,
    check_text,
    check_whole,
    checked_pair,
)
from sdloop.scheduler_names import (
    SCHEDULERS,
    SIGMAS,
    SPACINGS,
    check_known,
    check_suits,
    known_to,
    name_of,
    parse_scheduler,
    sigmas_of,
)

MAX_SEED = 2**32 - 1
MAX_STEPS = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The settings of one picture. ``None`` leaves a choice to the model; see ``resolved``.

    prompt, negative_prompt
        Any text; empty is fine. ``None`` as negative prompt is the model's own unconditional
        input, which for SDXL differs from ``""``.
    seed
        0 to 2**32 - 1: torch's CPU generator keeps 32 bits, so larger seeds would be smaller ones
        in disguise.
    model, revision, variant, vae
        Hub id, diffusers folder or single file; the hub's branch, tag or commit; the weight
        files' variant ("fp16"); another VAE than the model's own.
    width, height
        Pixels, multiples of the VAE's factor.
    steps
        At least 1; diffusers' ``num_inference_steps``.
    guidance_scale, guidance_rescale
        1 switches guidance off, 0 ignores the prompt; rescale is 0 to 1 (Lin et al. 2023,
        arXiv:2305.08891, eq. 15).
    scheduler, sigmas, timestep_spacing, eta
        A name of ``scheduler_names.SCHEDULERS``; how its noise levels and its timesteps are
        spaced; the share of DDIM's (and TCD's) noise, 0 to 1.
    clip_skip
        1 is the layer that the model was trained with, 2 the one before it: A1111's numbers,
        diffusers' plus one.
    original_size, crop_top_left, target_size
        What SDXL is told about the picture: (width, height), (top, left) and (width, height) in
        pixels.
    """

    prompt: str
    seed: int
    negative_prompt: str | None = None
    model: str = "mini"
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int = 25
    guidance_scale: float | None = None
    guidance_rescale: float = 0.0
    scheduler: str | None = None
    sigmas: str | None = None
    timestep_spacing: str | None = None
    eta: float = 0.0
    clip_skip: int = 1
    original_size: Size | None = None
    crop_top_left: Size | None = None
    target_size: Size | None = None

    def __post_init__(self) -> None:
        for name in _TEXTS:
            check_text(name, getattr(self, name), optional=name not in ("prompt", "model"))
        check_whole("seed", self.seed, 0, MAX_SEED)
        check_whole("steps", self.steps, 1, MAX_STEPS)
        check_whole("clip_skip", self.clip_skip, 1, 99)
        for name in ("width", "height"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1, MAX_SIDE)
        for name, highest in (("guidance_scale", 1e4), ("guidance_rescale", 1.0), ("eta", 1.0)):
            value = getattr(self, name)
            if value is not None or name != "guidance_scale":
                check_number(name, value, 0.0, highest)
                object.__setattr__(self, name, float(value))
        for name in ("original_size", "crop_top_left", "target_size"):
            object.__setattr__(self, name, checked_pair(name, getattr(self, name)))
        self._settle_names()
        self._refuse_ignored()

    @property
    def size(self) -> Size:
        """Width and height in pixels; only a resolved Recipe is sure to have them."""
        if self.width is None or self.height is None:
            raise SettingError("width and height must be set: resolve the Recipe for a model first")
        return self.width, self.height

    def _settle_names(self) -> None:
        """Replace a scheduler's spelling by its one name, so that equal Recipes compare equal."""
        if self.scheduler is not None:
            name, folded = parse_scheduler(self.scheduler)
            object.__setattr__(self, "scheduler", name)
            if folded is not None and self.sigmas not in (None, folded):
                raise SettingError(
                    f"sigmas must agree with the scheduler's {folded!r}, got {self.sigmas!r}"
                )
            object.__setattr__(self, "sigmas", folded or self.sigmas)
        check_choice("sigmas", self.sigmas, SIGMAS)
        check_choice("timestep_spacing", self.timestep_spacing, SPACINGS)

    def _refuse_ignored(self) -> None:
        """A setting that would be ignored is an error: the user believes that it does something."""
        if self.guidance_scale == 1 and self.negative_prompt:
            raise SettingError(
                "negative_prompt needs guidance, and guidance_scale 1 switches it off: "
                f"raise guidance_scale or leave out the negative_prompt {self.negative_prompt!r}"
            )
        if self.guidance_scale == 1 and self.guidance_rescale:
            raise SettingError(
                "guidance_rescale needs guidance, and guidance_scale 1 switches it off, "
                f"got guidance_rescale {self.guidance_rescale:g}"
            )
        if self.scheduler is not None:
            self._check_scheduler(self.scheduler, SCHEDULERS[self.scheduler].knows)

    def _check_scheduler(self, scheduler: str, knows: frozenset[str]) -> None:
        check_known(
            scheduler,
            knows,
            {"sigmas": self.sigmas, "timestep_spacing": self.timestep_spacing, "eta": self.eta},
        )

    def resolved(self, model: Defaults) -> Self:
        """This Recipe with the model's choices written in, checked against the model.

        Raises ``SettingError`` for a size that is no multiple of the VAE's factor (naming the
        nearest that are) and for settings that the model could not follow or would ignore.
        """
        width, height = model.native_size
        config = model.scheduler_config
        scheduler = self.scheduler or name_of(config)
        knows = known_to(scheduler, config)
        recipe = dataclasses.replace(
            self,
            width=width if self.width is None else self.width,
            height=height if self.height is None else self.height,
            guidance_scale=(
                model.guidance_scale if self.guidance_scale is None else self.guidance_scale
            ),
            scheduler=scheduler,
            sigmas=self.sigmas or (sigmas_of(config) if "sigmas" in knows else None),
        )
        name = scheduler or config["_class_name"]
        recipe._check_scheduler(name, knows)
        check_suits(name, knows, config)
        recipe._check_model(model)
        return recipe

    def _check_model(self, model: Defaults) -> None:
        for name in ("width", "height"):
            check_multiple(name, getattr(self, name), model.size_multiple)
        check_whole("clip_skip", self.clip_skip, 1, model.text_layers)
        told = [n for n in ("original_size", "crop_top_left", "target_size") if getattr(self, n)]
        if told and not model.takes_sizes:
            raise SettingError(
                f"{told[0]} is for models that are told sizes (SDXL), and {self.model} is not one"
            )

    def key(self, weights: Mapping[str, str]) -> str:
        """The sha256 of all that decides the pixels: this resolved Recipe and the weights' hashes.

        Where a model lies does not matter, what is in its files does; so the names of the model
        give way to ``weights`` (file name → sha256).
        """
        fields = {name: value for name, value in self.to_dict().items() if name not in _MODEL_NAMES}
        text = json.dumps(
            {"recipe": fields, "weights": dict(weights)}, sort_keys=True, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names, for JSON and TOML; what is ``None`` is left out."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The Recipe written by ``to_dict``; raises ``SettingError`` for keys it does not have."""
        check_keys(values)
        missing = [name for name in ("prompt", "seed") if name not in values]
        if missing:
            raise SettingError(
                f"{missing[0]} must be given, got only {', '.join(values) or 'nothing'}"
            )
        return cls(**values)


_TEXTS = ("prompt", "negative_prompt", "model", "revision", "variant", "vae", "scheduler")
_MODEL_NAMES = frozenset({"model", "revision", "variant", "vae"})
FIELDS = tuple(f.name for f in dataclasses.fields(Recipe))


def check_keys(values: Mapping[str, Any], *, source: str = "a recipe") -> None:
    """Raise ``SettingError`` for a key that no Recipe has, naming the nearest one that it has."""
    for key in values:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(FIELDS)}"
            raise SettingError(f"{source} has an unknown key {key!r}: {hint}")
