"""Make pictures again from their files: the work of ``sdloop rerun``."""

from collections.abc import Sequence
from typing import Any

from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.remake import RemakeOptions, resolving, wanted_again
from sdloop.batch.requests import Request
from sdloop.batch.settings import Settings, read_settings
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.make.pictures import make_pictures
from sdloop.cli.make.run import plan_for, print_recipes
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.rerun import ChangeOptions, OtherSeedOptions
from sdloop.cli.read.recorded import recorded_files
from sdloop.cli.terminal.few_steps import tell_few_steps, tell_presets
from sdloop.cli.terminal.notices import tell_steps, tell_unlabelled, tell_unseen
from sdloop.cli.terminal.output import say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.metadata.read import SavedPicture
from sdloop.recipe.recipe import FIELDS
from sdloop.rules import hint_for


def rerun_files(
    files: Sequence[str],
    flags: dict[str, Any],
    change: ChangeOptions,
    seeds: OtherSeedOptions,
    output: OutputOptions,
) -> None:
    """Make the pictures of these files again, with the changes in ``flags``."""
    _check_drop(change.drop or [])
    changes, command, standing_model = _settings(flags, seeds)
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
        tell_unlabelled(command)
        tell_presets([changes])
        tell_few_steps(plan)
        tell_steps(plan)
        tell_unseen(plan)
    if output.dry_run:
        print_recipes(plan)
    else:
        make_pictures(plan, command, output, open_image)


def _settings(
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
            usual = "use a Recipe's field, such as negative_prompt"
            hint = hint_for(name.replace("-", "_"), FIELDS, otherwise=usual)
            raise SettingError(f"drop must name a setting, got {name!r}: {hint}")


def _wanted(
    found: Sequence[SavedPicture], asked: RemakeOptions, resolve: Any, *, quiet: bool
) -> list[Request]:
    """All requested pictures; each notice is printed once, with the files that it concerns."""
    notices: dict[str, list[str]] = {}
    wanted = []
    for one in found:
        lines: list[str] = []
        wanted += wanted_again(one, asked, resolve, lines.append)
        if one.record.step:
            number, of = one.record.step.get("number"), one.record.step.get("of")
            lines.append(f"the file shows step {number} of {of}; making the finished picture")
        for line in lines:
            notices.setdefault(line, []).append(str(one.path))
    for line, paths in notices.items() if not quiet else ():
        others = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        say(f"{paths[0]}{others}: {line}")
    return wanted
