"""The Recipe: every setting that decides the pixels of one picture, and nothing else.

It is frozen, checked when it is made, and travels everywhere: from flags or TOML into
``generate``, and from there into the picture's own file, out of which it can be read and run
again. Device, precision, output path and batch size belong to the command, not here: they must
not change what is seen.
"""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from sdloop.errors import SettingError
from sdloop.recipe.check import settled
from sdloop.recipe.limits import MAX_SEED
from sdloop.recipe.loras import Lora
from sdloop.recipe.outpaint_windows import SIDES, Growth
from sdloop.recipe.strength import first_step, schedule_for
from sdloop.rules import Size, check_whole


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """The settings of one picture. ``None`` leaves a choice to the model; see ``resolve``.

    prompt, negative_prompt
        Any text; empty is fine. ``None`` as negative prompt is the model's own unconditional
        input, which for SDXL differs from ``""``.
    prompt_2, negative_prompt_2
        What SDXL's second text encoder reads; ``None`` is what the first one reads.
    emphasis
        "a1111" reads the prompts as A1111 does (see ``sdloop.prompt``) and restores the mean of
        weighted words, "no-norm" does not restore it, and "none" takes all for plain text.
    seed
        0 to 2**32 - 1: torch's CPU generator keeps 32 bits, so larger seeds would be smaller ones
        in disguise.
    model, revision, variant, vae
        Hub id, diffusers folder or single file; the hub's branch, tag or commit; the weight
        files' variant ("fp16"); another VAE than the model's own.
    width, height
        Pixels, multiples of the VAE's factor.
    steps
        At least 1; diffusers' ``num_inference_steps``. Where ``timesteps`` or ``sigmas_list`` are
        given, as many as these say, else 25.
    guidance_scale, guidance_rescale
        1 switches guidance off, 0 ignores the prompt; rescale is 0 to 1 (Lin et al. 2023,
        arXiv:2305.08891, eq. 15).
    guidance, guidance_interval, guidance_schedule
        Another guidance than the usual one, with its numbers: "apg:eta=0:momentum=-0.5", see
        ``guidance.GUIDANCES``. The noise levels at which there is guidance, "0.28..5.42" in sigma;
        and in the place of ``guidance_scale`` one for each step: "linear:1..9", "cosine:9..1" or a
        list that is stretched over them, "1,3,7.5".
    pag_scale, pag_layers, slg_scale, slg_layers
        How far the picture is led away from what the UNet predicts with less attention, at the
        layers of these names, separated by commas: with self-attention that looks at each place
        alone (perturbed-attention guidance), or with whole layers skipped (skip-layer guidance).
    scheduler, sigmas, timestep_spacing, eta
        A name of ``scheduler_names.SCHEDULERS``; how its noise levels and its timesteps are
        spaced; the share of DDIM's (and TCD's) noise, 0 to 1.
    timesteps, sigmas_list
        Where the steps lie instead: the timestep of each, or the sigma of each and then 0, falling.
    learning_rate, weight_decay, stop_noise
        Of the schedulers that are optimisers, see ``sdloop.schedulers.optimisers``: how far they
        step; how much they pull the latents towards 0; and the noise at which a picture is
        finished, before all steps are taken.
    clip_skip
        1 is the layer that the model was trained with, 2 the one before it: A1111's numbers,
        diffusers' plus one.
    original_size, crop_top_left, target_size
        What SDXL is told about the picture: (width, height), (top, left) and (width, height) in
        pixels.
    loras
        What is added to the model's weights; any of the forms of ``checked_loras``.
    image, image_sha256
        The picture to start from, by the name of its file, and the sha256 of what is in it, which
        alone decides the pixels.
    strength, exact_steps, start_step
        How much of the schedule is run, 0 to 1, in whole steps; whether ``steps`` counts those
        that run, and not those of the whole schedule; or, in place of both, the first step to run.
    resize, background
        How the picture gets its size, one of ``inputs.RESIZES`` (see ``inputs.output_size``); the
        colour around it, and where it is transparent.
    left, right, up, down, overlap
        By how many pixels the picture grows on each side, multiples of the VAE's factor; and how
        much of what is there each window sees beside what it adds. ``width`` and ``height`` are
        then those of the grown picture, and follow from these.
    noise_level
        How much noise an upscaler puts on the picture that it enlarges, as a timestep of its
        training: 0 to the most that its model knows. ``image`` is that small picture, and
        ``width`` and ``height`` are those of the large one.
    factor, hires, enlarge
        How many times larger than the picture that it starts from this one is; or, of one that
        starts from noise, that it is made at ``width`` x ``height`` first, and this many times
        larger then, with the strength above. And what is enlarged, one of ``check.ENLARGES``: the
        pixels, by Lanczos' filter, or the latents.
    tile
        The side in pixels of the windows through which the UNet sees the picture, of its last
        stage; 0 shows it whole, where it were windows by default.
    mask, mask_sha256, mask_blur, invert_mask
        Where the picture is painted: the file of a picture that is white there and black where
        nothing changes, or "alpha" for where the picture itself is transparent; what is in that
        file; how far its edge is softened, in pixels; and whether the rest is meant.
    mask_margin, no_keep
        The loop sees only what lies this many pixels around the mask, and not the whole picture;
        whether what lies outside the mask is the VAE's, and not the picture's own pixels.
    mix_prompts, mix_weights, slerp
        Prompts that are mixed with ``prompt`` where the text encoder has read them; the share of
        each, ``prompt`` first, which add up to 1; whether two are mixed along the arc between them
        and not along the line.
    variation_seed, variation_strength
        Another seed, and how far the first noise is turned towards its noise, 0 to 1: A1111's.
    embeddings, embeddings_sha256
        Files of learned vectors, each with the token that stands for them in the prompts:
        "my-frog.safetensors:<my-frog>"; the sha256 of what is in each.
    replace_tokens, replace_tokens_sha256
        What the text encoder reads in the place of a word: "puppy=0.5*puppy+0.5*skunk"; the sha256
        of each file that is named there, in their order.
    losses, losses_sha256, loss_every, loss_mode
        Losses that pull the picture, as ``sdloop.losses`` writes them: "blue=200"; the sha256 of
        each picture and each module that they name, in their order; in every how manieth step they
        pull; and "cheap", past the UNet, or "exact", back through it.
    loss_clip, loss_clip_sha256
        The CLIP of their texts, "mini" for the embedded one, a folder or a hub id; and the
        sha256 of its weights.
    """

    prompt: str
    seed: int
    negative_prompt: str | None = None
    prompt_2: str | None = None
    negative_prompt_2: str | None = None
    emphasis: str = "a1111"
    model: str = "mini"
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    width: int | None = None
    height: int | None = None
    steps: int = None  # type: ignore[assignment]  # not left open: `settled` knows how many
    guidance_scale: float | None = None
    guidance_rescale: float = 0.0
    guidance: str | None = None
    guidance_interval: str | None = None
    guidance_schedule: str | None = None
    pag_scale: float | None = None
    pag_layers: str | None = None
    slg_scale: float | None = None
    slg_layers: str | None = None
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
    original_size: Size | None = None
    crop_top_left: Size | None = None
    target_size: Size | None = None
    loras: tuple[Lora, ...] = ()
    image: str | None = None
    image_sha256: str | None = None
    strength: float | None = None
    exact_steps: bool = False
    start_step: int | None = None
    resize: str | None = None
    background: str | None = None
    noise_level: int | None = None
    left: int | None = None
    right: int | None = None
    up: int | None = None
    down: int | None = None
    overlap: int | None = None
    factor: float | None = None
    hires: float | None = None
    enlarge: str | None = None
    tile: int | None = None
    mask: str | None = None
    mask_sha256: str | None = None
    mask_blur: float | None = None
    invert_mask: bool = False
    mask_margin: int | None = None
    no_keep: bool = False
    mix_prompts: tuple[str, ...] | None = None
    mix_weights: tuple[float, ...] | None = None
    slerp: bool = False
    variation_seed: int | None = None
    variation_strength: float | None = None
    embeddings: tuple[str, ...] | None = None
    embeddings_sha256: tuple[str, ...] | None = None
    replace_tokens: tuple[str, ...] | None = None
    replace_tokens_sha256: tuple[str, ...] | None = None
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
        """Width and height in pixels; only a resolved Recipe is sure to have them."""
        if self.width is None or self.height is None:
            raise SettingError(
                "width and height must be set: resolve the Recipe for a model first", field="width"
            )
        return self.width, self.height

    @property
    def guided(self) -> bool:
        """Whether a resolved Recipe is guided at any step."""
        return self.guidance_schedule is not None or self.guidance_scale != 1

    @property
    def growth(self) -> Growth | None:
        """By how much the picture grows, if it does."""
        sides = {name: getattr(self, name) for name in SIDES}
        given = {name: pixels for name, pixels in sides.items() if pixels is not None}
        return Growth(**given) if given else None

    @property
    def final_size(self) -> Size:
        """Width and height of what comes out: ``size``, or that enlarged by ``hires``."""
        if self.hires is None:
            return self.size
        width, height = (round(side * self.hires) for side in self.size)
        return width, height

    @property
    def schedule(self) -> tuple[int, int]:
        """How many steps the schedule of a resolved Recipe has, and the first of them to run."""
        if self.strength is None:
            return self.steps, self.start_step or 0
        steps = schedule_for(self.steps, self.strength) if self.exact_steps else self.steps
        return steps, first_step(steps, self.strength)

    def with_seed(self, seed: int) -> "Recipe":
        """The same from another seed, which no other field depends on: nothing else is checked."""
        check_whole("seed", seed, 0, MAX_SEED)
        other = object.__new__(type(self))
        for name in FIELDS:
            object.__setattr__(other, name, getattr(self, name))
        object.__setattr__(other, "seed", seed)
        return other

    def to_dict(self) -> dict[str, Any]:
        """Plain values under the field names, for JSON and TOML: of what is set, and not off."""
        values = {name: getattr(self, name) for name in FIELDS}
        values["loras"] = [lora.to_dict() for lora in self.loras] or None
        return {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in values.items()
            if value is not None and value is not False
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """The Recipe written by ``to_dict``, of earlier versions too.

        Raises ``SettingError`` for keys that no Recipe has.
        """
        values = with_new_names(values)
        check_keys(values)
        missing = [name for name in ("prompt", "seed") if name not in values]
        if missing:
            raise SettingError(
                f"{missing[0]} must be given, got only {', '.join(values) or 'nothing'}",
                field=missing[0],
            )
        return cls(**values)


FIELDS = tuple(f.name for f in dataclasses.fields(Recipe))


# What settings were called in the files of earlier versions.
OLD_NAMES = {
    "scale": "factor",
    "guides": "losses",
    "guides_sha256": "losses_sha256",
    "guide_every": "loss_every",
    "guide_mode": "loss_mode",
    "guide_clip": "loss_clip",
    "guide_clip_sha256": "loss_clip_sha256",
}


def with_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """Settings out of a file, under the names that they have today."""
    return {OLD_NAMES.get(name, name): value for name, value in values.items()}


def check_keys(values: Mapping[str, Any], *, source: str = "a recipe") -> None:
    """Raise ``SettingError`` for a key that no Recipe has, naming the nearest one that it has."""
    for key in values:
        if key not in FIELDS:
            near = difflib.get_close_matches(str(key), FIELDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"it takes {', '.join(FIELDS)}"
            raise SettingError(f"{source} has an unknown key {key!r}: {hint}")
