"""``sdloop mix --walk``: a film on the way from prompt to prompt and from seed to seed."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.animation.write import check_moving, write_moving
from sdloop.batch.command_settings import CommandSettings
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
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import DEFAULT_NAME, expand_name
from sdloop.metadata.record import Made, texts_of
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
    """Make the frames, one for each of ``prompts``, and write them as one moving picture.

    ``texts`` are the prompts that the way leads through, and stand in the file. Each frame has a
    Recipe of its own, which ``--dry-run`` and ``--json`` print.
    """
    numbers = seeds_of([Prompt(settings={})], settings, seed=seeds.seed, count=seeds.count)
    assert numbers is not None
    frames = [
        Prompt(settings={**one.settings, **between_seeds(numbers, place / (len(prompts) - 1))})
        for place, one in enumerate(prompts)
    ]
    if len(set(named(texts, how))) == 1 and len(set(numbers)) == 1:
        raise SettingError("walk needs at least two prompts, or two seeds")
    # Frames have no files of their own.
    own = {name: v for name, v in settings.command.items() if name not in ("output", "outdir")}
    command = CommandSettings(**{**own, "format": None})
    open_image = image_opener()
    plan = planned(frames, settings, seeds.seed, numbers, command, output, open_image)
    if len(numbers) > 1 and not output.quiet and draws_noise(plan[0].recipe):
        say(
            f"{plan[0].recipe.scheduler} draws noise at each step, which is that of one seed: "
            "the film will jump from seed to seed, where euler's would not"
        )
    if output.dry_run:
        print_recipes(plan)
        return
    fps = FPS if how.fps is None else how.fps
    path, exists = _target(plan[0].recipe, CommandSettings(**settings.command), output)
    facts = {"at": how.at, "prompts": list(texts), "seeds": numbers, "walk": how.walk, "fps": fps}
    recipes: list[dict[str, Any]] = []
    made: Made = {}

    def images() -> "Iterator[Image]":
        for _, picture in each_picture(plan, command, output, open_image):
            recipes.append(picture.recipe.to_dict())
            made.update(picture.made)
            yield picture.image

    def metadata() -> Mapping[str, str]:
        own: Made = {**made}
        own.pop("key", None)  # that of a frame
        return texts_of(plan[0].recipe, own, command.metadata, moving=facts)

    durations = itertools.repeat(1 / fps)
    path = write_moving(path, images(), durations=durations, texts=metadata, exists=exists)
    line = {"path": str(path), "recipes": recipes, "moving": facts}
    emit(json.dumps(line, ensure_ascii=False) if output.json else str(path))


def draws_noise(recipe: Recipe) -> bool:
    """Whether the loop of a resolved Recipe draws noise after the first one.

    TCD's own noise is that of its eta, which is 0 by default, and the same goes for DDIM.
    """
    return recipe.eta > 0 or recipe.scheduler in _NOISY


def _target(recipe: Recipe, command: CommandSettings, output: OutputOptions) -> tuple[Path, Exists]:
    """The file of the moving picture, which is not there yet."""
    suffix = f".{command.format or 'gif'}"
    named = command.output is not None
    template = command.output if command.output is not None else DEFAULT_NAME
    path = Path(command.outdir or "", expand_name(template, recipe)).expanduser()
    if not named or not path.suffix:
        path = path.with_suffix(suffix)
    exists: Exists = "overwrite" if output.overwrite else "fail" if named else "number"
    check_moving(path, exists=exists)
    return path, exists
