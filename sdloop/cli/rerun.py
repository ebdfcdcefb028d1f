"""``sdloop rerun``: make pictures again from the settings in their files, with changes."""

import difflib
from collections.abc import Sequence
from typing import Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.remake import RemakeOptions, resolving, wanted_again
from sdloop.batch.requests import Request
from sdloop.batch.settings import Settings, read_settings
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import make_pictures
from sdloop.cli.make.run import plan_for, print_recipes
from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import MaskOptions, ScaleOptions, SideOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.options.rerun import ChangeOptions, OtherImageOptions, OtherSeedOptions
from sdloop.cli.read.recorded import FilesArgument, recorded_files
from sdloop.cli.terminal.notices import tell_steps, tell_unseen
from sdloop.cli.terminal.output import say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.metadata.read import SavedPicture
from sdloop.recipe.recipe import FIELDS


@with_options
def rerun(
    files: FilesArgument = None,
    *,
    change: ChangeOptions,
    larger: ScaleOptions,
    start: OtherImageOptions,
    mask: MaskOptions,
    sides: SideOptions,
    recipe: RecipeOptions,
    seeds: OtherSeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make pictures again from their files, with changes.

    Each file contains the settings of its picture. Without changes the pixels are the same.
    Files of A1111, stable-diffusion.cpp, InvokeAI and mflux work too, and ComfyUI's if the
    graph is simple; a message names each setting that could not be read. In a file name, {file}
    stands for the name of the old picture without its suffix.

    Examples:
      sdloop rerun frog-4.png --steps 80 --hires 2
      sdloop rerun picked/ --seed 1..4 -o "more/{file}-{seed}.png"
      sdloop rerun frog-4.png --variation-seed 9 --variation-strength 0.15
      sdloop rerun from-elsewhere.png --model stable-diffusion-v1-5/stable-diffusion-v1-5
    """
    if not files:
        raise SettingError("a picture must be named, as in: sdloop rerun frog-4.png --steps 80")
    flags = {**given(change, larger, start, mask, sides, model, output), **recipe_settings(recipe)}
    _check_drop(change.drop or [])
    changes, command, standing_model = _asked(flags, seeds)
    asked = RemakeOptions(
        changes=changes,
        drop=change.drop or (),
        seed=seeds.seed,
        count=seeds.count,
        model=standing_model,
        lora_dir=command.lora_dir,
        run_code=change.run_code,
    )
    found = recorded_files(files, quiet=output.quiet)
    open_image = image_opener()
    resolve = resolving(open_image, may_fetch=not output.dry_run)
    wanted = _wanted(found, asked, resolve, quiet=output.quiet)
    plan = plan_for(wanted, command, output, open_image)
    if not output.quiet:
        tell_steps(plan)
        tell_unseen(plan)
    if output.dry_run:
        print_recipes(plan)
    else:
        make_pictures(plan, command, output, open_image)


def _asked(
    flags: dict[str, Any], seeds: OtherSeedOptions
) -> tuple[dict[str, Any], CommandSettings, str | None]:
    """Changes to the Recipes, the command's settings, and the model in the user's settings."""
    images = flags.pop("images", [])
    if len(images) > 1:
        raise SettingError(f"image must be one picture here, got {len(images)}")
    flags |= {"image": images[0]} if images else {}
    named = read_settings(seeds.config) if seeds.config is not None else Settings()
    asked = Settings.of(flags).over(named)
    standing = standing_settings(None)
    # The user's settings file must not change the settings in a picture's file.
    command = asked.over(Settings(command=standing.command)).command
    if "seed" in asked.recipe:
        raise SettingError("seed in a settings file has no effect here: use --seed")
    own = standing.recipe.get("model")
    values = {name: value for name, value in command.items() if name != "count"}
    return dict(asked.recipe), CommandSettings(**values), own


def _check_drop(names: Sequence[str]) -> None:
    for name in names:
        if name not in FIELDS:
            near = difflib.get_close_matches(name.replace("-", "_"), FIELDS, n=1)
            hint = (
                f"did you mean {near[0]!r}?"
                if near
                else "use a Recipe's field, such as negative_prompt"
            )
            raise SettingError(f"drop must name a setting, got {name!r}: {hint}")


def _wanted(
    found: Sequence[SavedPicture], asked: RemakeOptions, resolve: Any, *, quiet: bool
) -> list[Request]:
    """All requested pictures; each notice is printed once, with the files that it concerns."""
    told: dict[str, list[str]] = {}
    wanted = []
    for one in found:
        lines: list[str] = []
        wanted += wanted_again(one, asked, resolve, lines.append)
        if one.record.step:
            number, of = one.record.step.get("number"), one.record.step.get("of")
            lines.append(f"the file shows step {number} of {of}; making the finished picture")
        for line in lines:
            told.setdefault(line, []).append(str(one.path))
    for line, paths in told.items() if not quiet else ():
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        say(f"{paths[0]}{others}: {line}")
    return wanted
