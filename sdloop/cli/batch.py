"""``sdloop batch``: a plan of many pictures, and the pictures."""

from sdloop.batch.counts import token_counter
from sdloop.batch.lines import line_of
from sdloop.cli.asked import asked_settings
from sdloop.cli.batch_options import PlanOptions, PromptsArgument, StartOptions
from sdloop.cli.batch_plan import plan_of
from sdloop.cli.flags import given, with_options
from sdloop.cli.image_files import image_opener
from sdloop.cli.image_options import MaskOptions
from sdloop.cli.model_options import ModelOptions
from sdloop.cli.options import RecipeOptions, SeedOptions
from sdloop.cli.output_options import OutputOptions
from sdloop.cli.pictures import make_pictures
from sdloop.cli.recipes import recipe_settings
from sdloop.cli.screen import emit
from sdloop.cli.settings import CommandSettings


@with_options
def batch(
    prompts: PromptsArgument = None,
    *,
    plan: PlanOptions,
    start: StartOptions,
    mask: MaskOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make hundreds of pictures: every prompt with every setting and every seed.

    [bold]Examples:[/bold]

    sdloop batch "a {red|green} frog" --seed 1..4 --sweep guidance_scale=1,2,4 --outdir frogs

    sdloop batch --from-file prompts.txt --seed 1..200 -o "out/{prompt:.30}/{seed}.png"

    sdloop batch "__animals__ at night" --wildcards words --pick random --seed 1..50 --outdir night

    sdloop batch "a frog" --seed 1..9 --dry-run | grep -v '"seed": 4' | sdloop batch --from-file -
    """
    flags = {**given(model, output, start, mask), **recipe_settings(recipe)}
    settings = asked_settings(flags, seeds)
    command = CommandSettings(**settings.command)
    open_image = image_opener()
    pictures = plan_of(prompts, flags, settings, command, plan, seeds, output, open_image)
    if not output.dry_run:
        make_pictures(list(pictures), command, output, open_image)
        return
    count_tokens = token_counter()
    for planned in pictures:
        emit(line_of(planned, count_tokens))
