"""Make the plan of ``sdloop batch`` from its flags; the plan is a stream, never all in memory."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from sdloop.batch.ahead import AHEAD, check_ahead, check_names
from sdloop.batch.command_settings import CommandSettings
from sdloop.batch.cross import Crossing
from sdloop.batch.grouping import WINDOW
from sdloop.batch.learned_words import texts_in
from sdloop.batch.names import Naming
from sdloop.batch.planned import Planned
from sdloop.batch.planning import Planner
from sdloop.batch.prompts import Prompt
from sdloop.batch.requests import completer, filler
from sdloop.batch.settings import Settings, merged
from sdloop.batch.sweep import Axis, shown_fields
from sdloop.batch.variants import no_wildcards, varies
from sdloop.batch.wildcards import wildcards
from sdloop.cli.make.batch_sources import axes_of, check_readers, prompts_of, seeds_for, still_open
from sdloop.cli.make.run import resolver
from sdloop.cli.options.batch import PlanOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.few_steps import tell_few_steps, tell_presets
from sdloop.cli.terminal.notices import tell_choices, tell_steps, tell_unknown, tell_unseen
from sdloop.cli.terminal.output import say
from sdloop.errors import SettingError
from sdloop.images.input.read import OpenImage
from sdloop.recipe.check import PROMPTS


def plan_of(
    arguments: Sequence[str] | None,
    flags: Mapping[str, Any],
    settings: Settings,
    command: CommandSettings,
    options: PlanOptions,
    seeds: SeedOptions,
    output: OutputOptions,
    open_image: OpenImage,
) -> tuple[Iterator[Planned], int | None]:
    """The plan, and its number of pictures, if that can be known.

    Raises the errors that can be found before the first picture: in sweeps, prompts and names.
    """
    check_readers(arguments, flags, seeds)
    axes, settings = axes_of(flags, settings, options, seeds)
    explicit = [*Settings.of(flags).recipe, *(axis.name for axis in axes)]
    prompts = still_open(prompts_of(arguments, seeds.from_file, axes, settings), explicit)
    head = list(itertools.islice(prompts, AHEAD))
    crossing = Crossing(
        fill=filler(settings, Settings.of(flags)),
        seeds=seeds_for(head, axes, settings, seeds),
        # Without --zip, seeds are the innermost axis: all else is resolved once for all seeds.
        axes=[axis for axis in axes if options.zip or axis.name != "seed"],
        zipped=options.zip,
        lookup=no_wildcards if options.wildcards is None else wildcards(options.wildcards),
        pick="all" if options.pick is None else options.pick,
    )
    if len(head) < AHEAD:
        _check_variants(crossing, head, settings, options)
    swept = tuple(field for axis in axes if len(axis) > 1 for field in shown_fields(axis))
    hidden = len(head) == AHEAD or crossing.lookup is not no_wildcards
    complete = completer(settings, None if hidden else _texts(head, crossing, settings))
    naming = Naming.of(command, swept=swept)
    exists = partial(naming.exists, overwrite=output.overwrite)
    planner = Planner(resolver(output, open_image), naming, exists=exists, complete=complete)
    check_ahead(planner, crossing, head)
    if command.output is not None:
        check_names(planner, crossing, head, command.output)
    total = None if len(head) == AHEAD else sum(map(crossing.count, head))
    plan = planner(crossing(itertools.chain(head, prompts)))
    if output.quiet:
        return plan, total
    return _with_notices(plan, head, crossing, settings, seeds, planner), total


def _check_variants(
    crossing: Crossing, head: Sequence[Prompt], settings: Settings, options: PlanOptions
) -> None:
    """Raise ``SettingError`` for --pick or --wildcards without a use; ``head`` is all prompts."""
    texts = _texts(head, crossing, settings)
    if options.pick == "random" and not any(map(varies, texts)):
        raise SettingError("pick needs a prompt with variants, as in {red|green}")
    if options.wildcards is not None and not any("__" in text for text in texts):
        raise SettingError("wildcards must be used in a prompt, as in __animals__")


def _texts(head: Sequence[Prompt], crossing: Crossing, settings: Settings) -> list[str]:
    """All prompt texts, as they were typed."""
    texts = [text for one in head for text in texts_in(one.settings)]
    texts += texts_in(settings.recipe)
    return texts + [str(v) for axis in crossing.axes if axis.name in PROMPTS for v in axis]


def _with_axes(sources: Iterable[Mapping[str, Any]], axes: Sequence[Axis]) -> list[dict[str, Any]]:
    """Each of ``sources`` with each preset that is swept."""
    presets = [{"preset": value} for axis in axes if axis.name == "preset" for value in axis]
    return [{**one, **preset} for one in sources for preset in presets or [{}]]


def _with_notices(
    plan: Iterator[Planned],
    head: Sequence[Prompt],
    crossing: Crossing,
    settings: Settings,
    seeds: SeedOptions,
    planner: Planner,
) -> Iterator[Planned]:
    """The plan; prints notices about its first pictures, such as the chosen seed."""
    first = list(itertools.islice(plan, WINDOW))
    free = [one for one in head if one.key is None]
    if free:
        numbers = list(itertools.islice(crossing.seeds, 1)) or None
        tell_choices(free, settings, seeds.seed, numbers)
        tell_presets(_with_axes(merged(free, settings), crossing.axes))
    tell_few_steps(first)
    tell_steps(first)
    tell_unknown(first)
    tell_unseen(first)
    yield from itertools.chain(first, plan)
    if planner.twice:
        say(f"{planner.twice} pictures were planned more than once: each is made only once")
