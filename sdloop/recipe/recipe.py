"""The Recipe: every setting that decides the pixels of one picture, and nothing else.

It is frozen, and checked when it is created. It is made from flags or TOML, passed to
``generate``, and written into the picture's file, from which it can be read and run again.
Device, precision, output path and batch size belong to the command, not to the Recipe: they must
not change the picture.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, Self

from sdloop.errors import SettingError
from sdloop.recipe.check import settled
from sdloop.recipe.controls import Control, T2IAdapter
from sdloop.recipe.limits import MAX_LONG_SEED, MAX_SEED
from sdloop.recipe.loras import Lora
from sdloop.recipe.names import check_keys, with_new_names
from sdloop.recipe.outpaint_windows import SIDES, Growth
from sdloop.recipe.presets import with_preset
from sdloop.recipe.strength import first_step, schedule_for
from sdloop.rules import Size, check_whole
from sdloop.schedulers.names import BY_STRENGTH


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The settings of one picture. ``None`` leaves a choice to the model; see ``resolve``.

    Each field is a row of the table in ``fields``, with its limits and the help of its flag. Notes
    on some fields:

    negative_prompt
        ``None`` is the model's own unconditional input; for SDXL this is not the same as ``""``.
    steps
        A resolved Recipe has a number; before that, ``None`` leaves it to the model.
    guidance_rescale
        Lin et al. 2023 (arXiv:2305.08891), equation 15.
    clip_skip
        A1111's numbers, diffusers' plus one.
    width, height
        Multiples of the VAE's factor. With ``factor``, ``left``, ``right``, ``up`` or ``down`` it
        is the size of the finished picture; with ``hires`` that of the first stage.
    image_sha256, mask_sha256, embeddings_sha256 …
        Hashes of the files' content, in the order of the file names. They decide the pixels; the
        paths do not.
    original_size, crop_top_left, target_size
        (width, height), (top, left) and (width, height) in pixels.
    noise_level
        A timestep of the upscaler's training.
    mix_prompts, mix_weights
        Prompts that are mixed with ``prompt`` after the text encoder; their shares, which add up
        to 1, the share of ``prompt`` first.
    """

    prompt: str
    seed: int
    negative_prompt: str | None = None
    prompt_2: str | None = None
    negative_prompt_2: str | None = None
    emphasis: str = "a1111"
    # the model
    model: str = "mini"
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    unet: str | None = None
    # SDXL's second stage
    refiner: str | None = None
    refiner_start: float | None = None
    aesthetic_score: float | None = None
    negative_aesthetic_score: float | None = None
    # size and steps
    width: int | None = None
    height: int | None = None
    steps: int = None  # type: ignore[assignment]  # a resolved Recipe always has it
    reuse: int | None = None
    seamless: str | None = None
    # guidance
    guidance_scale: float | None = None
    guidance_rescale: float = 0.0
    guidance: str | None = None
    guidance_interval: str | None = None
    guidance_schedule: str | None = None
    pag_scale: float | None = None
    pag_layers: str | None = None
    slg_scale: float | None = None
    slg_layers: str | None = None
    # scheduler
    scheduler: str | None = None
    sigmas: str | None = None
    timestep_spacing: str | None = None
    eta: float = 0.0
    timesteps: tuple[int, ...] | None = None
    sigmas_list: tuple[float, ...] | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    stop_noise: float | None = None
    clip_skip: int = 1
    # SDXL's size and crop conditioning
    original_size: Size | None = None
    crop_top_left: Size | None = None
    target_size: Size | None = None
    # LoRAs
    loras: tuple[Lora, ...] = ()
    # ControlNets and T2I-Adapters
    controls: tuple[Control, ...] = ()
    guess_mode: bool = False
    t2i_adapters: tuple[T2IAdapter, ...] = ()
    preprocess: str | None = None
    preprocess_model: str | None = None
    preprocess_model_sha256: str | None = None
    # image prompts
    image_prompts: tuple[str, ...] | None = None
    image_prompts_sha256: tuple[str, ...] | None = None
    ip_adapter: str | None = None
    ip_adapter_sha256: str | None = None
    image_encoder: str | None = None
    image_encoder_sha256: str | None = None
    # a picture to start from
    image: str | None = None
    image_sha256: str | None = None
    strength: float | None = None
    exact_steps: bool = False
    start_step: int | None = None
    resize: str | None = None
    background: str | None = None
    noise_level: int | None = None
    depth_map: str | None = None
    depth_map_sha256: str | None = None
    image_guidance_scale: float | None = None
    # outpainting
    left: int | None = None
    right: int | None = None
    up: int | None = None
    down: int | None = None
    overlap: int | None = None
    # upscaling
    factor: float | None = None
    hires: float | None = None
    enlarge: str | None = None
    upscaler: str | None = None
    upscaler_sha256: str | None = None
    tile: int | None = None
    # inpainting
    mask: str | None = None
    mask_sha256: str | None = None
    mask_model: str | None = None
    mask_model_sha256: str | None = None
    mask_threshold: float | None = None
    mask_grow: int | None = None
    mask_blur: float | None = None
    invert_mask: bool = False
    mask_margin: int | None = None
    no_keep: bool = False
    # mixing prompts and noise
    mix_prompts: tuple[str, ...] | None = None
    mix_weights: tuple[float, ...] | None = None
    slerp: bool = False
    variation_seed: int | None = None
    variation_strength: float | None = None
    rng: str | None = None  # None is "cpu": files are older than this field
    eta_noise_seed_delta: int | None = None
    # learned words
    embeddings: tuple[str, ...] | None = None
    embeddings_sha256: tuple[str, ...] | None = None
    replace_tokens: tuple[str, ...] | None = None
    replace_tokens_sha256: tuple[str, ...] | None = None
    # regions
    regions: tuple[str, ...] | None = None
    regions_sha256: tuple[str, ...] | None = None
    region_alone: float | None = None
    # losses
    losses: tuple[str, ...] | None = None
    losses_sha256: tuple[str, ...] | None = None
    loss_every: int | None = None
    loss_mode: str | None = None
    loss_clip: str | None = None
    loss_clip_sha256: str | None = None

    def __post_init__(self) -> None:
        for name, value in settled({name: getattr(self, name) for name in FIELDS}).items():
            object.__setattr__(self, name, value)

    @property
    def size(self) -> Size:
        """Width and height in pixels; only a resolved Recipe always has them."""
        if self.width is None or self.height is None:
            raise SettingError.of(
                "width", "and height must be set: resolve the Recipe for a model first"
            )
        return self.width, self.height

    @property
    def guided(self) -> bool:
        """Whether a resolved Recipe uses guidance in any step."""
        return self.guidance_schedule is not None or self.guidance_scale != 1

    @property
    def growth(self) -> Growth | None:
        """The pixels that outpainting adds on each side; None without outpainting."""
        sides = {name: getattr(self, name) for name in SIDES}
        given = {name: pixels for name, pixels in sides.items() if pixels is not None}
        return Growth(**given) if given else None

    @property
    def final_size(self) -> Size:
        """Width and height of the finished picture: ``size``, or ``size`` times ``hires``."""
        if self.hires is None:
            return self.size
        width, height = (round(side * self.hires) for side in self.size)
        return width, height

    @property
    def schedule(self) -> tuple[int, int]:
        """The number of steps in the schedule of a resolved Recipe, and the first that runs."""
        if self.strength is None or self.timestep_spacing == BY_STRENGTH:
            return self.steps, self.start_step or 0
        steps = schedule_for(self.steps, self.strength) if self.exact_steps else self.steps
        return steps, first_step(steps, self.strength)

    @property
    def followed(self) -> tuple[Control, ...]:
        """The ControlNets and T2I-Adapters that do anything; each knows how its map is made."""
        acting = (one for one in (*self.controls, *self.t2i_adapters) if not one.does_nothing)
        return tuple(
            dataclasses.replace(one, preprocess=self.preprocess) if one.preprocess is None else one
            for one in acting
        )

    def with_seed(self, seed: int) -> "Recipe":
        """The same Recipe with another seed; no other field depends on it, so none is checked."""
        check_whole("seed", seed, 0, MAX_SEED if self.rng is None else MAX_LONG_SEED)
        other = object.__new__(type(self))
        for name, value in zip(FIELDS, _values(self), strict=True):
            object.__setattr__(other, name, value)
        object.__setattr__(other, "seed", seed)
        return other

    def to_dict(self) -> dict[str, Any]:
        """Plain values by field name, for JSON and TOML; settings that are not set are left out."""
        values = dict(zip(FIELDS, _values(self), strict=True))
        for name in ("loras", "controls", "t2i_adapters"):
            values[name] = [one.to_dict() for one in values[name]] or None
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None and value is not False
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The Recipe from the values of ``to_dict``, also those of earlier versions.

        A ``preset`` among them stands for several fields, see ``presets``.

        Raises ``SettingError`` for unknown keys.
        """
        values = with_new_names(values)
        check_keys(values)
        values = with_preset(values)
        missing = [name for name in ("prompt", "seed") if name not in values]
        if missing:
            raise SettingError(
                f"{missing[0]} must be given, got only {', '.join(values) or 'nothing'}",
                field=missing[0],
            )
        return cls(**values)


FIELDS = tuple(f.name for f in dataclasses.fields(Recipe))
_values = attrgetter(*FIELDS)
