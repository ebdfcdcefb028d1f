"""Print and draw the noise levels of schedulers: tables, JSON and curves."""

import io
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.batch.settings import Settings
from sdloop.cli.inspect.shared import ready, settings_and_fields
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.options.groups import given
from sdloop.cli.options.schedule import PlotOptions, ScheduleOptions
from sdloop.cli.terminal.columns import columns
from sdloop.cli.terminal.output import emit
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.images.sheet import captioned
from sdloop.metadata.atomic import Exists, check_writable, write_whole
from sdloop.recipe.fields import parse_value
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve
from sdloop.recipe.steps import LISTED_STEPS
from sdloop.rules import check_local
from sdloop.schedulers.names import parse_scheduler

if TYPE_CHECKING:
    from sdloop.inspection.schedules import Level, NoiseSchedule
    from sdloop.models.checkpoint.value import Checkpoint

_ACROSS = 8

_ROWS = 11  # how many of a training schedule's thousand timesteps are printed


def show_schedules(wanted: ScheduleOptions, plot: PlotOptions) -> None:
    """Print the noise level of each step, and draw them if a file is named."""
    check_local("output", plot.output)
    path = None if plot.output is None else Path(plot.output)
    exists: Exists = "overwrite" if plot.overwrite else "fail"
    _check(wanted, plot, path)
    if path is not None:
        check_writable(path, exists=exists)
    curves = _training(wanted) if wanted.betas is not None else _schedules(wanted)
    if path is not None:
        make = _plot if plot.add_noise is None else _noised
        write_whole(path, make(curves, wanted, plot, path), exists=exists)
    every = wanted.betas is None
    for number, curve in enumerate(curves):
        if plot.json:
            emit(json.dumps(_values(curve)))
        else:
            emit("\n" * (number > 0) + "\n".join(_table(curve, every=every)))
    if path is not None and not plot.json:
        emit(f"\n{path}")


def _check(wanted: ScheduleOptions, plot: PlotOptions, path: Path | None) -> None:
    for name in ("dark", "add_noise"):
        if path is None and getattr(plot, name):
            raise SettingError(f"{name} needs an output file (-o)")
    if plot.add_noise is None:
        return
    if path is not None and path.suffix.lower() != ".png":
        raise SettingError(f"output must end in .png for a sheet, got {path.name!r}")
    for name in ("compare", "betas"):
        if getattr(wanted, name) is not None:
            raise SettingError(
                f"{name} cannot be combined with add_noise, which shows one schedule"
            )
    if plot.dark:
        raise SettingError("dark is only for curves, and add_noise shows pictures")


def _plot(
    curves: "Sequence[NoiseSchedule]", wanted: ScheduleOptions, plot: PlotOptions, path: Path
) -> bytes:
    from sdloop.inspection.plots import figure_bytes, plot_levels

    return figure_bytes(plot_levels(curves, dark=plot.dark), path)


def _noised(
    curves: "Sequence[NoiseSchedule]", wanted: ScheduleOptions, plot: PlotOptions, path: Path
) -> bytes:
    """A sheet of the picture at each noise level of the schedule."""
    named = {name: getattr(wanted, name) for name in ("model", "revision", "variant")}
    flags = {name: value for name, value in named.items() if value is not None}
    fields = {"prompt": "", "image": plot.add_noise, **flags}
    settings, values = settings_and_fields(fields, seed=0, quiet=True)
    components, recipe = ready(Recipe.from_dict(values), settings)
    from sdloop.inspection.latents import noised
    from sdloop.latents.noise import seeded_generators
    from sdloop.pipeline.input_images import canvas_of

    picture = canvas_of(recipe, image_opener()).image
    levels = curves[0].noise_levels
    images = noised(components.vae, picture, levels, seeded_generators([0])[0])
    labels = [f"t {one.timestep:.0f}\nsigma {one.sigma:.3g}" for one in levels]
    sheet = captioned(list(zip(labels, images, strict=True)), across=_ACROSS)
    file = io.BytesIO()
    sheet.save(file, "PNG")
    return file.getvalue()


def _training(wanted: ScheduleOptions) -> "Sequence[NoiseSchedule]":
    others = [name for name in given(wanted) if name != "betas"]
    if others:
        raise SettingError(f"{others[0]} cannot be combined with betas, which need no sampler")
    from sdloop.inspection.schedules import BETAS, training_of

    names = _names("betas", wanted.betas)
    for name in names:
        if name not in BETAS:
            raise SettingError(f"betas must be names from {', '.join(BETAS)}, got {name!r}")
    return [training_of(name) for name in names]


def _schedules(wanted: ScheduleOptions) -> "Sequence[NoiseSchedule]":
    from sdloop.models.checkpoint.find import find_checkpoint

    asked = {name: value for name, value in given(wanted).items() if name != "compare"}
    lists = {name: parse_value(name, asked[name]) for name in LISTED_STEPS if name in asked}
    standing = standing_settings(None).recipe
    usual = {name: standing[name] for name in ("model", "revision", "variant") if name in standing}
    settings = Settings.of(asked | lists).over(Settings(recipe=usual)).recipe
    recipe = Recipe(**{"prompt": "", "seed": 0, **settings})
    others = [_other(recipe, name) for name in _names("compare", wanted.compare)]
    checkpoint = find_checkpoint(recipe.model, revision=recipe.revision, variant=recipe.variant)
    recipes = [resolve(one, checkpoint) for one in (recipe, *others)]
    return [_schedule(one, checkpoint) for one in recipes]


def _schedule(recipe: Recipe, checkpoint: "Checkpoint") -> "NoiseSchedule":
    from sdloop.inspection.schedules import schedule_of

    return schedule_of(recipe, checkpoint)


def _other(recipe: Recipe, name: str) -> Recipe:
    """A Recipe to compare with: the same model and the same number of steps."""
    scheduler, sigmas = parse_scheduler(name)
    same = {key: getattr(recipe, key) for key in ("model", "revision", "variant", "steps")}
    return Recipe(prompt="", seed=0, scheduler=scheduler, sigmas=sigmas, **same)


def _names(field: str, text: str | None) -> list[str]:
    if text is None:
        return []
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise SettingError(f"{field} must be names separated by commas, got {text!r}")
    return names


def _table(curve: "NoiseSchedule", *, every: bool) -> Iterator[str]:
    levels = curve.noise_levels
    if not every:
        levels = tuple(levels[i * (len(levels) - 1) // (_ROWS - 1)] for i in range(_ROWS))
    yield f"{curve.name}, {len(curve.noise_levels)} {'UNet calls' if every else 'timesteps'}"
    head = ("step", "timestep", "sigma", "signal/noise", "in dB")
    yield from columns([head, *(_row(level) for level in levels)])


def _row(level: "Level") -> tuple[str, ...]:
    numbers = (level.timestep, level.sigma, level.snr, level.decibels)
    return (f"{level.step}", *(f"{number:.5g}" for number in numbers))


def _values(curve: "NoiseSchedule") -> dict[str, Any]:
    """For JSON, which cannot express infinity: it becomes "inf", which ``float`` reads."""
    return {
        "name": curve.name,
        "levels": [
            {
                "step": level.step,
                "timestep": level.timestep,
                "sigma": _finite(level.sigma),
                "snr": _finite(level.snr),
            }
            for level in curve.noise_levels
        ],
    }


def _finite(number: float) -> float | str:
    return str(number) if number == float("inf") else number
