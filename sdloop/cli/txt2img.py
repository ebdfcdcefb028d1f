"""``sdloop txt2img``: pictures from text."""

from collections.abc import Sequence
from textwrap import shorten

from sdloop.cli.entries import safe
from sdloop.cli.flags import given, with_options
from sdloop.cli.model_card import Asked
from sdloop.cli.options import (
    ModelOptions,
    OutputOptions,
    PromptArgument,
    RecipeOptions,
    SeedOptions,
)
from sdloop.cli.pictures import make_pictures
from sdloop.cli.plan import Planned, model_of, plan_pictures, print_recipes
from sdloop.cli.prompt_file import Prompt, read_prompts
from sdloop.cli.recipes import recipe_settings, recipes_of, seeds_of
from sdloop.cli.screen import say
from sdloop.cli.settings import CommandSettings, Settings, standing_settings
from sdloop.cli.text_files import read_text
from sdloop.errors import SettingError


@with_options
def txt2img(
    prompt: PromptArgument = None,
    *,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make pictures from a prompt, or from a file of them, and print their paths.

    [bold]Examples:[/bold]

    sdloop txt2img "two green frogs on stilts" --seed 4 -o frogs.png

    sdloop txt2img "an old lighthouse" -m stable-diffusion-v1-5/stable-diffusion-v1-5 --seed 1..8

    sdloop txt2img --from-file prompts.txt --count 4 --outdir pictures
    """
    flags = {**given(model, output), **recipe_settings(recipe)}
    if seeds.count is not None:
        flags["count"] = seeds.count
    settings = Settings.of(flags).over(standing_settings(seeds.config))
    prompts = _prompts(prompt, seeds.from_file, settings)
    numbers = seeds_of(prompts, settings, seeds)
    command = CommandSettings(**settings.command)
    plan = plan_pictures(recipes_of(prompts, settings, numbers), command, output)
    if not output.quiet:
        _tell_choices(prompts, settings, seeds.seed, numbers)
        _tell_unknown(plan)
    if output.dry_run:
        print_recipes(plan)
    else:
        make_pictures(plan, command, output)


def _prompts(argument: str | None, from_file: str | None, settings: Settings) -> list[Prompt]:
    if argument is not None and from_file is not None:
        raise SettingError(f"prompt must come from one place, got {argument!r} and a file of them")
    if from_file is not None:
        return read_prompts(from_file)
    if argument is not None:
        text = read_text("-").rstrip("\r\n") if argument == "-" else argument
        return [Prompt(settings={"prompt": text})]
    if "prompt" in settings.recipe:
        return [Prompt(settings={})]
    raise SettingError('prompt must be given, as in: sdloop txt2img "two green frogs on stilts"')


def _tell_choices(
    prompts: Sequence[Prompt], settings: Settings, seed: str | None, numbers: Sequence[int] | None
) -> None:
    """Say what was decided for people who did not say it."""
    if "model" not in settings.recipe and any("model" not in p.settings for p in prompts):
        say(
            "no model was named: this is the small embedded one, and `sdloop models mini` tells "
            "what it draws; for another give --model, or `sdloop config set model …` once"
        )
    if numbers is not None and seed is None and "seed" not in settings.recipe:
        several = f"..{numbers[-1]}" if len(numbers) > 1 else ""
        say(f"seed {numbers[0]}{several}, chosen at random")


def _tell_unknown(plan: Sequence[Planned]) -> None:
    """Say once where a model's words are listed, when a prompt has none of them."""
    from sdloop.checkpoint import knows_a_word

    for planned in plan:
        prompt = planned.recipe.prompt
        if not knows_a_word(planned.checkpoint, prompt):
            model = Asked(*model_of(planned.recipe)[:3])
            say(
                f'"{safe(shorten(prompt, 60))}" means nothing to {planned.checkpoint.name}: '
                f"`sdloop models {model}` lists the words that it knows"
            )
            return
