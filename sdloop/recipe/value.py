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
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sdloop.defaults import Defaults
from sdloop.errors import SettingError
from sdloop.inputs import RESIZES, InputFacts, settled_colour
from sdloop.recipe.resolve import resolve
from sdloop.rules import (
    MAX_SIDE,
    Size,
    check_choice,
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
    parse_scheduler,
)
from sdloop.strength import first_step, schedule_for

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
    image, image_sha256
        The picture to start from, by the name of its file, and the sha256 of what is in it, which
        alone decides the pixels.
    strength, exact_steps, start_step
        How much of the schedule is run, 0 to 1, in whole steps; whether ``steps`` counts those
        that run, and not those of the whole schedule; or, in place of both, the first step to run.
    resize, background
        How the picture gets its size, one of ``inputs.RESIZES`` (see ``inputs.output_size``); the
        colour around it, and where it is transparent.
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
    image: str | None = None
    image_sha256: str | None = None
    strength: float | None = None
    exact_steps: bool = False
    start_step: int | None = None
    resize: str | None = None
    background: str | None = None

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
        self._check_start()
        self._settle_names()
        self._refuse_ignored()

    @property
    def size(self) -> Size:
        """Width and height in pixels; only a resolved Recipe is sure to have them."""
        if self.width is None or self.height is None:
            raise SettingError("width and height must be set: resolve the Recipe for a model first")
        return self.width, self.height

    def _check_start(self) -> None:
        """What is said of a picture to start from; whether there is one, ``resolved`` asks."""
        if self.image == "":
            raise SettingError("image must name a file, got ''")
        if self.image_sha256 is not None and not re.fullmatch("[0-9a-f]{64}", self.image_sha256):
            raise SettingError(f"image_sha256 must be 64 hex digits, got {self.image_sha256!r}")
        if self.strength is not None:
            check_number("strength", self.strength, 0.0, 1.0)
            object.__setattr__(self, "strength", float(self.strength))
        if not isinstance(self.exact_steps, bool):
            raise SettingError(f"exact_steps must be true or false, got {self.exact_steps!r}")
        if self.start_step is not None:
            check_whole("start_step", self.start_step, 0, MAX_STEPS - 1)
            if self.strength is not None or self.exact_steps:
                other = "exact_steps" if self.strength is None else "strength"
                raise SettingError(f"start_step says where to start, and so does {other}: drop one")

    def _settle_names(self) -> None:
        """Replace a spelling by the one name it stands for, so that equal Recipes compare equal."""
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
        check_choice("resize", self.resize, RESIZES)
        if self.background is not None:
            colour = settled_colour("background", self.background)
            object.__setattr__(self, "background", colour)

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
            self.check_scheduler(self.scheduler, SCHEDULERS[self.scheduler].knows)

    def check_scheduler(self, scheduler: str, knows: frozenset[str]) -> None:
        """Raise ``SettingError`` for what is set and means nothing to the scheduler."""
        check_known(
            scheduler,
            knows,
            {"sigmas": self.sigmas, "timestep_spacing": self.timestep_spacing, "eta": self.eta},
        )

    def resolved(self, model: Defaults, picture: InputFacts | None = None) -> "Recipe":
        """This Recipe with the model's choices written in, checked against the model.

        ``picture`` is what ``image`` names, if it names one. Raises what ``resolve`` does.
        """
        return resolve(self, model, picture)

    @property
    def schedule(self) -> tuple[int, int]:
        """How many steps the schedule of a resolved Recipe has, and the first of them to run."""
        if self.strength is None:
            return self.steps, self.start_step or 0
        steps = schedule_for(self.steps, self.strength) if self.exact_steps else self.steps
        return steps, first_step(steps, self.strength)

    def key(self, weights: Mapping[str, str]) -> str:
        """The sha256 of all that decides the pixels: this resolved Recipe and the weights' hashes.

        Where a model or a picture lies does not matter, what is in the files does; so the names of
        the model give way to ``weights`` (file name → sha256). Nor does it matter in whose words
        the steps are counted.
        """
        fields = {name: value for name, value in self.to_dict().items() if name not in _UNKEYED}
        if self.image is not None:
            fields["steps"], fields["start_step"] = self.schedule
        text = json.dumps(
            {"recipe": fields, "weights": dict(weights)}, sort_keys=True, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names, for JSON and TOML; neither ``None`` nor False."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None and value is not False
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


_TEXTS = (
    *("prompt", "negative_prompt", "model", "revision", "variant", "vae", "scheduler"),
    *("image", "image_sha256", "resize", "background"),
)
_UNKEYED = frozenset({"model", "revision", "variant", "vae", "image", "strength", "exact_steps"})
FIELDS = tuple(f.name for f in dataclasses.fields(Recipe))


def check_keys(values: Mapping[str, Any], *, source: str = "a recipe") -> None:
    """Raise ``SettingError`` for a key that no Recipe has, naming the nearest one that it has."""
    for key in values:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(FIELDS)}"
            raise SettingError(f"{source} has an unknown key {key!r}: {hint}")
