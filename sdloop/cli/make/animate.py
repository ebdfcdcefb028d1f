"""From the flags of ``sdloop animate`` to the animation that is made."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from sdloop.animation.read import open_frames
from sdloop.animation.settle import durations_of
from sdloop.animation.write import check_moving
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.requests import requests_of
from sdloop.batch.seeds import parse_seeds, random_seed
from sdloop.batch.settings import Settings, merged
from sdloop.cli.make.animation import Animation, make_animation
from sdloop.cli.make.image_files import image_files
from sdloop.cli.make.run import given_prompts, given_settings
from sdloop.cli.options.animate import MovingOptions, MovingOutput
from sdloop.cli.options.groups import given
from sdloop.cli.options.image import ImageOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import RecipeOptions, SeedOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.terminal.few_steps import tell_presets
from sdloop.errors import SettingError
from sdloop.images.input.read import open_image
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import DEFAULT_NAME, expand_name
from sdloop.pipeline.resolve import Resolver
from sdloop.places.path import StorePath, location
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_local, check_number, check_whole

_EXAMPLE = 'sdloop animate frames/ "a wooden carving of a rabbit" -o carving.gif'


def animate_images(
    image: str | None,
    prompt: str | None,
    *,
    start: ImageOptions,
    recipe: RecipeOptions,
    moving: MovingOptions,
    model: ModelOptions,
    output: MovingOutput,
) -> None:
    """Make an animation of the frames that the flags name."""
    names, prompt = _named(image, prompt, start.images or [])
    _check(moving, model)
    seeds = SeedOptions(seed=moving.seed, config=moving.config)
    flags = {**given(model, start, output), **recipe_settings(recipe)}
    settings = given_settings(flags, seeds)
    prompts = given_prompts(prompt, None, settings, example=_EXAMPLE)
    if not output.quiet:
        tell_presets(merged(prompts, settings))
    own = {"image": names[0]}  # until the frames are read
    prompts = [replace(one, settings={**one.settings, **own}) for one in prompts]
    (request,) = requests_of(prompts, settings, [_seed(moving, settings)])
    asked = request.recipe
    frames = open_frames(image_files(names), name=" ".join(names) if len(names) < 3 else None)
    command = CommandSettings(**settings.command)
    # The file's name may have settings in it that the model decides.
    settled = Resolver(open_image).for_frames(asked, frames, carry=moving.carry or 0.0).recipe
    path, exists = _path(settled, command, names[0], overwrite=output.overwrite)
    check_moving(path, exists=exists)
    if path.suffix.lower() == ".mp4" and moving.loop:
        raise SettingError(f"loop cannot be set for .mp4 files, got {moving.loop}")
    animation = Animation(
        input=frames,
        carry=moving.carry or 0.0,
        durations=durations_of(frames, moving.fps),
        loop=moving.loop or 0,
        path=path,
        exists=exists,
        frames=None if moving.save_frames is None else Path(moving.save_frames),
    )
    make_animation(asked, animation, command, output)


def _named(
    image: str | None, prompt: str | None, images: Sequence[str]
) -> tuple[list[str], str | None]:
    """The frames, and the prompt: with --image, it is the only argument."""
    if prompt is None and images:
        image, prompt = None, image
    names = [name for name in (image, *images) if name is not None]
    if not names or "-" in names:
        raise SettingError(f"image must name frames, as in: {_EXAMPLE}")
    return names, prompt


def _check(moving: MovingOptions, model: ModelOptions) -> None:
    check_local("save_frames", moving.save_frames)
    if moving.carry is not None:
        check_number("carry", moving.carry, 0, 1)
    if moving.fps is not None:
        check_number("fps", moving.fps, 0.1, 50)
    if moving.loop is not None:
        check_whole("loop", moving.loop, 0, 1000)
    if model.batch_size not in (None, 1):
        raise SettingError(
            "batch_size must be 1 for animate, which makes one frame after the other, "
            f"got {model.batch_size}"
        )


def _seed(moving: MovingOptions, settings: Settings) -> int:
    if moving.seed is None:
        return int(settings.recipe.get("seed", random_seed(1)))
    seeds = parse_seeds(moving.seed)
    if len(seeds) > 1:
        raise SettingError(f"seed must be one number, the same for all frames, got {moving.seed!r}")
    return seeds[0]


def _path(
    recipe: Recipe, command: CommandSettings, image: str, *, overwrite: bool
) -> tuple[Path, Exists]:
    """The file to write, and what to do if it exists: a name that we chose gets a number."""
    folder = location(command.outdir or "")
    if command.output is None:
        name = expand_name(f"{Path(image).stem:.40}-{DEFAULT_NAME}", recipe)
        return (folder / name).with_suffix(".gif"), "overwrite" if overwrite else "number"
    path = location(expand_name(command.output, recipe))
    path = path if isinstance(path, StorePath) else folder / path
    return path, "overwrite" if overwrite else "fail"
