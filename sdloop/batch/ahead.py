"""What can be refused of a plan before the first of its pictures is made."""

import dataclasses
import itertools
import re
from collections.abc import Iterator, Sequence

from sdloop.batch.cross import Crossing, Request
from sdloop.batch.planning import Planner
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.sweep import Axis
from sdloop.errors import SettingError

AHEAD = 10_000  # prompts
_COMBINATIONS = 1000  # of the axes, and values of each


def check_ahead(planner: Planner, crossing: Crossing, prompts: Sequence[Prompt]) -> None:
    """Raise what ``planner`` would: of each prompt, of each value of an axis, of combinations.

    Of these so many as take no more than a second. ``prompts`` are the first of the plan; those
    with a key are looked at when their turn comes, for they were all right when they were printed.
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
    """Raise ``SettingError`` where ``template`` leaves out what its pictures differ in.

    Names that only look alike, because prompts begin alike or are cut, are numbered in their turn.
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
            if not in_name & {*axis.fields, axis.name}:
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
    one, other = (planner.planned(request, 0) for request in pair)
    if one.path == other.path and one.key != other.key:
        raise SettingError(
            f"output must name each picture differently, and {template!r} does not tell {name}: "
            f"use {{{name}}} or {{index}} in it"
        )
