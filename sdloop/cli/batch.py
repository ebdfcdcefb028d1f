"""``sdloop batch``: many pictures, of which none is lost, and none made twice."""

from dataclasses import replace

from sdloop.cli.asked import asked_prompts, asked_settings
from sdloop.cli.batch_options import RunningOptions
from sdloop.cli.batch_run import run_plan
from sdloop.cli.flags import given, with_options
from sdloop.cli.image_files import image_opener
from sdloop.cli.image_options import HiresOptions
from sdloop.cli.model_options import WarmOptions
from sdloop.cli.options import PromptArgument, RecipeOptions, SeedOptions
from sdloop.cli.output_options import OutputOptions
from sdloop.cli.plan import plan_pictures, print_recipes
from sdloop.cli.recipes import recipe_settings, recipes_of, seeds_of
from sdloop.cli.settings import CommandSettings
from sdloop.errors import SettingError


@with_options
def batch(
    prompt: PromptArgument = None,
    *,
    recipe: RecipeOptions,
    hires: HiresOptions,
    seeds: SeedOptions,
    running: RunningOptions,
    model: WarmOptions,
    output: OutputOptions,
) -> None:
    """Make all the pictures of a plan that are not there yet, and print their paths.

    The same command goes on where it was stopped, and several at once share the work.

    [bold]Example:[/bold]

    sdloop batch --from-file prompts.txt --seed 1..200 --outdir overnight
    """
    if output.save_steps is not None or output.preview:
        raise SettingError("save_steps and preview are for few pictures: use txt2img")
    settings = asked_settings({**given(model, output, hires), **recipe_settings(recipe)}, seeds)
    example = "sdloop batch --from-file prompts.txt --seed 1..200"
    prompts = asked_prompts(prompt, seeds.from_file, settings, example=example)
    command, open_image = CommandSettings(**settings.command), image_opener()
    wanted = recipes_of(prompts, settings, seeds_of(prompts, settings, seeds))
    named = replace(output, overwrite=output.overwrite or running.redo)
    plan = plan_pictures(wanted, command, named, open_image, check=False)
    if output.dry_run:
        print_recipes(plan)
        return
    run_plan(
        plan,
        command,
        running,
        open_image,
        total=len(plan),
        json_lines=output.json,
        quiet=output.quiet,
    )
