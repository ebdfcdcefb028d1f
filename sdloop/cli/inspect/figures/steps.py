"""Draw the steps of a picture, as a sheet or an animation."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdloop.animation.write import write_moving
from sdloop.cli.inspect.shared import exists, ready, settings_and_fields, sheet_path, write_sheet
from sdloop.cli.options.groups import given
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.options.sheet import STEPS, SheetOptions
from sdloop.cli.terminal.output import emit
from sdloop.images.sheet import sheet
from sdloop.recipe.limits import MAX_STEPS
from sdloop.recipe.recipe import Recipe
from sdloop.rules import check_whole

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.inspection.steps import StepImages

_MOVING = (".gif", ".webp", ".mp4")

_SECONDS, _LAST_SECONDS = 0.16, 2.0  # how long a frame is shown


def show_steps(
    prompt: str,
    recipe: RecipeOptions,
    seed: int | None,
    every: int | None,
    model: ModelOptions,
    out: SheetOptions,
) -> None:
    """Draw the latents and the predicted picture of each step."""
    path = sheet_path(out, "steps.png", moving=_MOVING)
    moves = path.suffix.lower() in _MOVING
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = settings_and_fields(flags, seed=seed, quiet=out.quiet)
    wanted = Recipe.from_dict(fields)
    if every is not None:
        check_whole("every", every, 1, wanted.steps or MAX_STEPS)
    components, resolved = ready(wanted, settings)
    if every is not None:  # the model may have decided how many steps there are
        check_whole("every", every, 1, resolved.steps)
    from sdloop.inspection.steps import step_images
    from sdloop.loop import Step
    from sdloop.pipeline.generate import stream

    stride = 1 if moves and every is None else every
    seen = []
    for event in stream(components, resolved):
        if isinstance(event, Step) and _shown(event.index, event.total, stride):
            seen.append(step_images(components.vae, event))
    if moves:
        _write_moving(seen, path, out)
        return
    grid = [[one.latents for one in seen], [one.denoised for one in seen]]
    labels = [one.label for one in seen]
    write_sheet(sheet(grid, columns=labels, rows=["latents", "denoised"]), path, out)


def _write_moving(seen: "Sequence[StepImages]", path: Path, out: SheetOptions) -> None:
    durations = [_SECONDS] * (len(seen) - 1) + [_LAST_SECONDS]
    write_moving(path, _frames(seen), durations=durations, exists=exists(out))
    emit(str(path))


def _frames(seen: "Sequence[StepImages]") -> "Iterator[Image]":
    """The pictures side by side, with a label of two lines above them."""
    for one in seen:
        step, sigma = one.label.split("\n")
        labels = [f"latents\n{step}", f"denoised\n{sigma}"]
        yield sheet([[one.latents, one.denoised]], columns=labels)


def _shown(index: int, total: int, every: int | None) -> bool:
    stride = -(-total // STEPS) if every is None else every
    return index % stride == 0 or index == total - 1
