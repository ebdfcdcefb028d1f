"""``sdloop batch``: make many pictures; it can be resumed, and makes no picture twice."""

from sdloop.cli.options.batch import PlanOptions, PromptsArgument, StartOptions
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.image import MaskOptions
from sdloop.cli.options.model import WarmOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.ranking import OrderOptions
from sdloop.cli.options.recipe import RecipeOptions, SeedOptions
from sdloop.cli.options.running import RunningOptions


@with_options
def batch(
    prompts: PromptsArgument = None,
    *,
    planning: PlanOptions,
    start: StartOptions,
    mask: MaskOptions,
    recipe: RecipeOptions,
    seeds: SeedOptions,
    running: RunningOptions,
    model: WarmOptions,
    output: OutputOptions,
    order: OrderOptions,
) -> None:
    """Make many pictures: prompts, settings and seeds, combined.

    Each prompt is combined with each value of each --sweep and with each seed. Pictures that are
    already there are not made again: after an interruption, the same command continues. It may
    also run several times at once, and the processes share the work.

    Examples:
      sdloop batch "a {red|green} frog" --seed 1..4 --sweep guidance_scale=1,2,4 --outdir frogs
      sdloop batch "a frog" --seed 1..9 --dry-run | grep -v '"seed": 4' | sdloop batch --from-file -
    """
    from sdloop.cli.make.batch import make_batch

    make_batch(
        prompts,
        planning=planning,
        start=start,
        mask=mask,
        recipe=recipe,
        seeds=seeds,
        running=running,
        model=model,
        output=output,
        order=order,
    )
