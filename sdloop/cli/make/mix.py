"""Make the pictures of ``sdloop mix``, or its animation."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.batch.text_input import given_prompt
from sdloop.cli.make.prompt_walk import walk
from sdloop.cli.make.run import given_settings, make_from_prompts
from sdloop.cli.options.mix import MixOptions, named, ways
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.cli.terminal.output import emit
from sdloop.errors import SettingError
from sdloop.images.sheet import sheet
from sdloop.metadata.atomic import write_whole
from sdloop.metadata.names import plain
from sdloop.metadata.sheets import sheet_png
from sdloop.recipe.mixture import mixture


def mix_prompts(
    prompts: Sequence[str],
    how: MixOptions,
    flags: Mapping[str, Any],
    seeds: SeedOptions,
    output: OutputOptions,
) -> None:
    """Mix the prompts in one picture, a series or an animation."""
    if list(prompts).count("-") > 1:
        raise SettingError('only one prompt can be "-" (standard input)')
    prompts = [given_prompt(text) for text in prompts]
    settings = given_settings(flags, seeds)
    wanted = [
        Prompt(
            settings=_beside(
                mixture(prompts, weights, at=how.at, slerp=_arc(how, weights)), settings
            ),
            name=_name(prompts, how, place),
        )
        for place, weights in enumerate(ways(prompts, how))
    ]
    if how.walk is not None:
        walk(prompts, wanted, how, settings, seeds, output)
        return
    paths = make_from_prompts(wanted, settings, seeds, output)
    if how.slider is not None and paths:
        labels = _labels(named(prompts, how), ways(prompts, how))
        labelled = settings.command.get("metadata") != "none"
        _write_strip(paths, labels, output, labelled=labelled)


def _name(prompts: Sequence[str], how: MixOptions, place: int) -> str | None:
    """The default file name of a slider's picture: the two prompts, and the share."""
    if how.slider is None:
        return None
    first, last = (plain(text, 30) for text in (prompts[0], prompts[-1]))
    between = first if how.at == "token" else f"{first}-{last}"
    return f"{between}-{place / (how.slider - 1):.2f}-{{seed}}.png"


def _beside(fields: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """``fields`` of a mixture, which may also replace other words."""
    asked = settings.recipe.get("replace_tokens")
    if asked is None or "replace_tokens" not in fields:
        return dict(fields)
    return {**fields, "replace_tokens": (*fields["replace_tokens"], *asked)}


def _arc(how: MixOptions, weights: Sequence[float]) -> bool:
    """Whether to interpolate spherically; a walk through many prompts always does."""
    if how.slerp and sum(weight != 0 for weight in weights) > 2:
        raise SettingError(f"slerp needs two prompts, got {len(weights)}")
    return how.slerp


def _labels(names: Sequence[str], weights: Sequence[Sequence[float]]) -> list[str]:
    """The label of each picture: its prompt, or between two prompts the share of the second."""
    return [
        names[row.index(1)] if 1 in row else f"{row[max(_present(row))]:.2f}" for row in weights
    ]


def _present(row: Sequence[float]) -> list[int]:
    return [place for place, weight in enumerate(row) if weight]


def _write_strip(
    paths: Sequence[Path], labels: Sequence[str], output: OutputOptions, *, labelled: bool
) -> None:
    """Save all pictures on one sheet, a row for each seed, next to the first picture."""
    from PIL import Image

    images = [Image.open(path) for path in paths]
    seeds = len(images) // len(labels)
    rows = [images[row::seeds] for row in range(seeds)]
    strip = sheet_png(sheet(rows, columns=labels), paths, generated=labelled)
    path = paths[0].with_name(f"{paths[0].stem}-strip.png")
    path = write_whole(path, strip, exists="overwrite" if output.overwrite else "number")
    line = {"path": str(path), "pictures": [str(one) for one in paths]}
    emit(json.dumps(line, ensure_ascii=False) if output.json else str(path))
