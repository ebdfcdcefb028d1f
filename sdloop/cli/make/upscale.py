"""Make the pictures of ``sdloop upscale``: images, prompts and the factor for each."""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.cli.make.from_images import make_from_images
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import ModelError, SettingError

DEFAULT_FACTOR = 2.0


def upscale_images(
    image: str | None,
    prompt: str | None,
    images: Sequence[str],
    flags: dict[str, Any],
    seeds: SeedOptions,
    output: OutputOptions,
) -> None:
    """Make larger pictures from the images; ``flags`` are those that were given."""
    may_fetch = not output.dry_run
    asked = Settings.of(flags).over(standing_settings(seeds.config)).recipe
    # Set like a flag, so that it overrides width and height in a settings file.
    flags["factor"] = (
        asked["factor"] if "factor" in asked else _default_factor(flags, asked, may_fetch)
    )

    def with_factor(prompt: Prompt, settings: Settings) -> Prompt:
        """A line of a prompt file may name another model, which may need another factor."""
        if "factor" in asked or "model" not in prompt.settings or "factor" in prompt.settings:
            return prompt
        own = Settings(recipe=prompt.settings).over(settings).recipe
        return replace(
            prompt, settings={**prompt.settings, "factor": _usual_factor(own, may_fetch)}
        )

    make_from_images(
        image,
        prompt,
        images,
        flags,
        seeds,
        output,
        example="sdloop upscale photo.png",
        own_prompts=True,
        complete=with_factor,
    )


def _default_factor(flags: Mapping[str, Any], asked: Mapping[str, Any], may_fetch: bool) -> float:
    """The default factor; raises ``SettingError`` if a size is given instead."""
    factor = _usual_factor(asked, may_fetch)
    sides = [name for name in ("width", "height") if name in flags]
    if sides and factor == DEFAULT_FACTOR:
        raise SettingError(
            f"{sides[0]} cannot be set here, got {flags[sides[0]]}: use --factor, which says how "
            "many times larger"
        )
    return factor


def _usual_factor(asked: Mapping[str, Any], may_fetch: bool) -> float:
    """The factor for the model ``asked`` for: an upscaler has only one."""
    from sdloop.models.checkpoint.find import find_checkpoint

    named = {name: asked.get(name) for name in ("revision", "variant", "vae", "unet")}
    # Errors about the model are reported later, when it is needed.
    with contextlib.suppress(ModelError, SettingError):
        found = find_checkpoint(asked.get("model", "mini"), **named, may_fetch=may_fetch)
        if found.max_noise_level is not None:
            return float(found.size_multiple)
    return DEFAULT_FACTOR
