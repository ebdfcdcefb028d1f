"""Check a plan for errors before its first picture is made."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from sdloop.batch.cross import Crossing
from sdloop.batch.planning import Planner
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.requests import Request
from sdloop.batch.sweep import Axis, shown_fields
from sdloop.errors import SettingError

AHEAD = 10_000  # prompts
_COMBINATIONS = 1000  # of the axes, and values of each


def check_ahead(planner: Planner, crossing: Crossing, prompts: Sequence[Prompt]) -> None:
    """Raise early what ``planner`` would raise for a prompt, a value of an axis or a combination.

    Only as many combinations are checked as take about a second. ``prompts`` are the first ones of
    the plan; those with a key are checked later, because they were valid when they were printed.
    """
    first = [one for one in prompts if one.key is None]
    axes = list(crossing.axes)
    alone = [axis.first(1) for axis in axes]
    walks: list[Iterator[Request]] = []
    if not crossing.zipped:
        ways = ([*alone[:place], axis, *alone[place + 1 :]] for place, axis in enumerate(axes))
        walks += [_first_seed(crossing, way)(first[:1]) for way in ways]
    walks.append(_first_seed(crossing, axes)(first[:1]))
    every = itertools.chain(
        (next(_first_seed(crossing, alone)([one])) for one in first),
        *(itertools.islice(walk, _COMBINATIONS) for walk in walks),
    )
    for request in every:
        with blaming(request.prompt.where):
            planner.base(request)


def check_names(
    planner: Planner, crossing: Crossing, prompts: Sequence[Prompt], template: str
) -> None:
    """Raise ``SettingError`` if ``template`` lacks the setting in which its pictures differ.

    Names that are only equal because prompts begin alike or are shortened get a number later.
    """
    in_name = set(re.findall(r"\{(\w+)", template.replace("{{", "")))
    named = [one for one in prompts if one.output is None and one.key is None]
    if "index" in in_name or not named:
        return
    alone = [axis.first(1) for axis in crossing.axes]
    single = _first_seed(crossing, alone)
    others: list[tuple[str, Iterator[Request]]] = []
    if "prompt" not in in_name:
        others.append(("prompt", single(named)))
    if not crossing.zipped:
        for place, axis in enumerate(crossing.axes):
            if not in_name & {*shown_fields(axis), axis.name}:
                axes = [*alone[:place], axis.first(2), *alone[place + 1 :]]
                others.append((axis.name, dataclasses.replace(single, axes=axes)(named[:1])))
    elif not in_name & {field for axis in crossing.axes for field in axis.fields}:
        both = dataclasses.replace(single, axes=[axis.first(2) for axis in crossing.axes])
        others.append((crossing.axes[0].name, both(named[:1])))
    if "seed" not in in_name:
        seeds = tuple(itertools.islice(crossing.seeds, 2))
        others.append(("seed", dataclasses.replace(single, seeds=seeds)(named[:1])))
    for name, some in others:
        _check_pair(planner, name, list(itertools.islice(some, 2)), template)


def _first_seed(crossing: Crossing, axes: Sequence[Axis]) -> Crossing:
    """The same with these ``axes`` and a single seed."""
    seeds = tuple(itertools.islice(crossing.seeds, 1))
    return dataclasses.replace(crossing, axes=axes, seeds=seeds)


def _check_pair(planner: Planner, name: str, pair: Sequence[Request], template: str) -> None:
    if len(pair) < 2:
        return
    one, other = (planner.planned(request, planner.base(request), 0) for request in pair)
    if one.path == other.path and one.key != other.key:
        raise SettingError(
            f"output must name each picture differently, and {template!r} does not contain {name}: "
            f"use {{{name}}} or {{index}} in it"
        )
