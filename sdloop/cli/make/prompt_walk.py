"""``sdloop mix --walk``: an animation from prompt to prompt and from seed to seed."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.animation.write import check_moving, write_moving
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import Prompt
from sdloop.batch.seeds import seeds_of
from sdloop.batch.settings import Settings
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import each_picture
from sdloop.cli.make.run import planned, print_recipes
from sdloop.cli.options.mix import MixOptions, named
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.output import emit, say
from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import DEFAULT_NAME, expand_name
from sdloop.metadata.record import Made, texts_of
from sdloop.places.path import StorePath, location
from sdloop.recipe.mixture import between_seeds
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

FPS = 12.0
_NOISY = ("ddpm", "euler-a", "dpm2-a", "dpmpp-2m-sde", "dpmpp-sde", "sa-solver", "lcm")


def walk(
    texts: Sequence[str],
    prompts: Sequence[Prompt],
    how: MixOptions,
    settings: Settings,
    seeds: SeedOptions,
    output: OutputOptions,
) -> None:
    """Make the frames, one for each of ``prompts``, and write them as one animation.

    ``texts`` are the prompts that the walk passes through; they are written into the file. Each
    frame has its own Recipe, which ``--dry-run`` and ``--json`` print.
    """
    numbers = seeds_of([Prompt(settings={})], settings, seed=seeds.seed, count=seeds.count)
    assert numbers is not None
    frames = _between(prompts, numbers)
    if len(set(named(texts, how))) == 1 and len(set(numbers)) == 1:
        raise SettingError("walk needs at least two prompts, or two seeds")
    # Frames are not written to files, so these settings are only for the animation.
    own = {name: v for name, v in settings.command.items() if name not in ("output", "outdir")}
    command = CommandSettings(**{**own, "format": None})
    open_image = image_opener()
    plan = planned(frames, settings, seeds.seed, numbers, command, output, open_image)
    if len(numbers) > 1 and not output.quiet and draws_noise(plan[0].recipe):
        say(
            f"{plan[0].recipe.scheduler} adds random noise in each step, so the animation will "
            "jump from one seed to the next: use --scheduler euler for a smooth one"
        )
    if output.dry_run:
        print_recipes(plan)
        return
    fps = FPS if how.fps is None else how.fps
    target = _target(plan[0].recipe, CommandSettings(**settings.command), output)
    facts = {"at": how.at, "prompts": list(texts), "seeds": numbers, "walk": how.walk, "fps": fps}
    _write(target, plan, facts, command, output, open_image)


def _between(prompts: Sequence[Prompt], seeds: Sequence[int]) -> list[Prompt]:
    """The prompts, with the seeds between which each of them lies."""
    last = len(prompts) - 1
    return [
        Prompt(settings={**one.settings, **between_seeds(seeds, place / last)})
        for place, one in enumerate(prompts)
    ]


def _write(
    target: tuple[Path, Exists],
    plan: Sequence[Planned],
    facts: Mapping[str, Any],
    command: CommandSettings,
    output: OutputOptions,
    open_image: OpenImage,
) -> None:
    """Make the pictures, write them as one animation, and print its path."""
    recipes: list[dict[str, Any]] = []
    made: Made = {}

    def images() -> "Iterator[Image]":
        for _, picture in each_picture(plan, command, output, open_image):
            recipes.append(picture.recipe.to_dict())
            made.update(picture.made)
            yield picture.image

    def metadata() -> Mapping[str, str]:
        own: Made = {**made}
        own.pop("key", None)  # the key of a frame, not of the animation
        return texts_of(plan[0].recipe, own, command.metadata, moving=facts)

    path, exists = target
    durations = itertools.repeat(1 / facts["fps"])
    path = write_moving(path, images(), durations=durations, texts=metadata, exists=exists)
    line = {"path": str(path), "recipes": recipes, "moving": facts}
    emit(json.dumps(line, ensure_ascii=False) if output.json else str(path))


def draws_noise(recipe: Recipe) -> bool:
    """Whether the loop of a resolved Recipe adds noise in its steps.

    TCD and DDIM do so only if eta is above 0, which is not the default.
    """
    return recipe.eta > 0 or recipe.scheduler in _NOISY


def _target(recipe: Recipe, command: CommandSettings, output: OutputOptions) -> tuple[Path, Exists]:
    """The path of the animation, and what to do if the file exists."""
    suffix = f".{command.format or 'gif'}"
    named = command.output is not None
    template = command.output if command.output is not None else DEFAULT_NAME
    path = location(expand_name(template, recipe))
    path = path if isinstance(path, StorePath) else location(command.outdir or "") / path
    if not named or not path.suffix:
        path = path.with_suffix(suffix)
    exists: Exists = "overwrite" if output.overwrite else "fail" if named else "number"
    check_moving(path, exists=exists)
    return path, exists
