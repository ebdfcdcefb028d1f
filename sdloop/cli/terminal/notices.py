"""What people are told on stderr before their pictures are made: what was decided for them."""

import re
from collections.abc import Iterator, Sequence
from textwrap import shorten
from typing import TYPE_CHECKING

from sdloop.batch.carried import staying
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.cli.read.model_card import ModelName
from sdloop.cli.terminal.columns import safe
from sdloop.cli.terminal.output import say
from sdloop.images.input.frame import BACK
from sdloop.pipeline.model_names import model_of
from sdloop.prompt.compose import parts
from sdloop.prompt.schedule import unseen
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of
from sdloop.recipe.stages import stages

if TYPE_CHECKING:
    from sdloop.pipeline.picture import Picture

# The grammar of ``batch.variants``, where it is certainly meant.
_VARIANTS = re.compile(
    r"\{[^{}]*\|[^{}]*\}|\$\{\s*[A-Za-z_][\w-]*\s*(?:\}|:|\??=)[^{}]*\}?"
    r"|(?<![^\W_])__[^\W_](?:[\w./* -]*?[^\W_ ])?__(?![^\W_])"
)


def tell_choices(
    prompts: Sequence[Prompt], settings: Settings, seed: str | None, numbers: Sequence[int] | None
) -> None:
    """Say which model and which seeds were taken for people who named none."""
    if "model" not in settings.recipe and any("model" not in p.settings for p in prompts):
        say(
            "using the small embedded model (`sdloop models mini` lists what it can draw); choose "
            "another with --model, or for every command with `sdloop config set model …`"
        )
    if numbers is not None and seed is None and "seed" not in settings.recipe:
        several = f"..{numbers[-1]}" if len(numbers) > 1 else ""
        say(f"seed {numbers[0]}{several}, chosen at random")


def tell_unlabelled(command: CommandSettings) -> None:
    """Say what ``--metadata none`` leaves out besides the settings."""
    if command.metadata == "none":
        say(
            "metadata none also leaves out the label that the picture is AI-generated, which the "
            "law of the European Union asks for"
        )


def tell_staying(plan: Sequence[Planned]) -> None:
    """Say which files and folders the other computers of a cluster must have."""
    if names := dict.fromkeys(name for one in plan for name in staying(one.recipe)):
        say(f"not sent to other computers, and needed on each at the same path: {', '.join(names)}")


def tell_steps(plan: Sequence[Planned]) -> None:
    """Say how much is run where a picture is started from: it is seldom all of the steps."""
    told = [_rounded(planned) for planned in plan]
    told += [_steps(planned.recipe, planned.checkpoint) for planned in plan]
    told += [_lossy(planned) for planned in plan]
    for line in dict.fromkeys(told):
        if line:
            say(line)


def _rounded(planned: Planned) -> str:
    """Where an enlarged picture had to take another size than the one that was asked for."""
    recipe, picture = planned.recipe, planned.picture
    if recipe.factor is None or picture is None:
        return ""
    asked = [side * recipe.factor for side in picture.size]
    if asked == list(recipe.size):
        return ""
    multiple = planned.checkpoint.size_multiple
    return (
        f"{recipe.factor:g} times {_by(picture.size)} is {_by(asked)}, and becomes "
        f"{_by(recipe.size)}: sides are multiples of {multiple}"
    )


def _lossy(planned: Planned) -> str:
    """Where pixels are to stay as they are, and the file cannot hold them so."""
    recipe = planned.recipe
    stays = recipe.growth is not None or (recipe.mask is not None and not recipe.no_keep)
    if not stays or planned.path.suffix.lower() not in (".jpg", ".jpeg"):
        return ""
    return (
        f"{safe(planned.path.name)}: a JPEG changes all pixels a little, those outside of what is "
        "painted as well; PNG and WebP keep them"
    )


def _steps(recipe: Recipe, model: Defaults) -> str:
    """What runs of a picture that starts from another, or becomes a larger one."""
    if recipe.image is None and recipe.hires is None:
        return ""
    steps, start = recipe.schedule
    if recipe.growth is not None:
        before, count = recipe.growth.before(recipe.size), len(passes_of(recipe, model))
        passes = "1 pass" if count == 1 else f"{count} passes"
        return f"outpaint: {_by(before)} → {_by(recipe.size)} in {passes} of {steps} steps"
    if recipe.noise_level is not None:
        return f"{_enlarged(recipe)}noise level {recipe.noise_level}: {steps} steps"
    named = recipe.strength is None
    cause = f"start step {start}" if named else f"strength {recipe.strength:g}"
    where = f", at {_by(recipe.size)}" if recipe.resize == BACK else ""
    return f"{_enlarged(recipe)}{cause}: {steps - start} of {steps} steps{where}"


def _enlarged(recipe: Recipe) -> str:
    name = "factor" if recipe.hires is None else "hires"
    factor = getattr(recipe, name)
    if factor is None:
        return ""
    windows = f" in windows of {recipe.tile}" if recipe.tile else ""
    return f"{name} {factor:g}: {_by(recipe.final_size)}{windows}, "


def _by(size: Sequence[float]) -> str:
    return "x".join(f"{side:g}" for side in size)


def tell_stop(picture: "Picture") -> None:
    """Say of a picture that was finished before its steps were taken how many it took."""
    recipe, taken = picture.recipe, len(picture.sigmas)
    runs = [stage.schedule for stage in stages(recipe)]
    planned = sum(steps - start for steps, start in runs)
    if recipe.stop_noise is not None and taken < planned:
        say(f"seed {recipe.seed}: {recipe.scheduler} stopped after {taken} of {planned} steps")


def tell_unknown(plan: Sequence[Planned]) -> None:
    """Say once where a model's words are listed, when a prompt has none of them."""
    from sdloop.models.checkpoint.words import knows_a_word

    for planned in plan:
        prompt = planned.recipe.prompt
        if planned.recipe.embeddings is None and not knows_a_word(planned.checkpoint, prompt):
            model = ModelName(*model_of(planned.recipe)[:3])
            say(
                f'"{safe(shorten(prompt, 60))}" means nothing to {planned.checkpoint.name}: '
                f"`sdloop models {model}` lists the words that it knows"
            )
            return


def tell_variants(plan: Sequence[Planned]) -> None:
    """Say once that only ``batch`` reads {a|b} and __name__: elsewhere they are text."""
    for planned in plan:
        if found := _VARIANTS.search(planned.recipe.prompt):
            say(f'"{safe(shorten(found[0], 60))}" is plain text here; `sdloop batch` expands it')
            return


def tell_unseen(plan: Sequence[Planned]) -> None:
    """Say which words of a prompt that changes on the way are never its words."""
    found = (piece for planned in plan for piece in _unseen(planned.recipe))
    for piece, steps in dict.fromkeys(found):
        say(f'none of the {steps} steps sees "{safe(shorten(piece, 60))}"')


def _unseen(recipe: Recipe) -> Iterator[tuple[str, int]]:
    for part, _ in parts(recipe.prompt) if recipe.emphasis != "none" else ():
        yield from ((piece, recipe.steps) for piece in unseen(part, recipe.steps))
