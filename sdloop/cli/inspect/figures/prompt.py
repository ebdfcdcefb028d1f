"""Print and draw what the model does with each token of a prompt."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from sdloop.cli.inspect.shared import (
    of_the_model_alone,
    ready,
    settings_and_fields,
    sheet_path,
    write_sheet,
)
from sdloop.cli.options.groups import given
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.cli.options.recipe_fields import recipe_settings
from sdloop.cli.options.sheet import SheetOptions
from sdloop.cli.terminal.columns import columns, safe
from sdloop.cli.terminal.output import emit
from sdloop.images.sheet import captioned
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from PIL.Image import Image

    from sdloop.inspection.words import Walk
    from sdloop.models.components.load import Components

_COLUMNS = 8  # of a sheet of words


def show_prompt(
    prompt: str,
    versus: str | None,
    recipe: RecipeOptions,
    seed: int | None,
    model: ModelOptions,
    out: SheetOptions,
    *,
    json_lines: bool,
) -> None:
    """Print the numbers of each token, and draw where it acts if a file is named."""
    path = None if out.output is None else sheet_path(out, "words.png")
    flags = {"prompt": prompt, **given(model), **recipe_settings(recipe)}
    settings, fields = settings_and_fields(flags, seed=seed, quiet=out.quiet or path is None)
    components, resolved = ready(of_the_model_alone(fields), settings)
    for name, one, other in _walks(components, prompt, versus):
        emit(json.dumps(_values(name, one, other)) if json_lines else _table(name, one, other))
    if path is not None:
        write_sheet(_attention_sheet(components, resolved), path, out)


def _walks(
    components: "Components", prompt: str, versus: str | None
) -> "Iterator[tuple[str, Walk, Walk | None]]":
    """The results of each text encoder, for the prompt and the one to compare with."""
    from sdloop.inspection.words import walk

    encoders = [("text_encoder", components.tokenizer, components.text_encoder)]
    if components.text_encoder_2 is not None:
        second: Any = (components.tokenizer_2, components.text_encoder_2)
        encoders.append(("text_encoder_2", *second))
    for name, tokenizer, encoder in encoders:
        other = None if versus is None else walk(tokenizer, encoder, versus)
        yield name, walk(tokenizer, encoder, prompt), other


def _table(name: str, one: "Walk", other: "Walk | None") -> str:
    head = ["place", "id", "token", "|token|", "|position|", "|encoded|", "in·out"]
    rows = [
        [
            *(f"{token.place}", f"{token.id}", token.text),
            *(f"{norm:.3g}" for norm in (token.token_norm, token.position_norm)),
            *(f"{token.encoded_norm:.3g}", f"{token.changed:.3f}"),
        ]
        for token in one.tokens
    ]
    if other is not None:
        head += ["versus", "alike"]
        rows = list(_beside(rows, one, other))
    return "\n".join([f"{name}:", *(f"  {line}" for line in columns([head, *rows]))])


def _beside(rows: Sequence[list[str]], one: "Walk", other: "Walk") -> Iterator[list[str]]:
    """The rows, next to those of the other prompt, which may be longer."""
    from sdloop.inspection.words import parting

    alike = parting(one, other)
    for place, (row, token) in enumerate(zip_longest(rows, other.tokens)):
        mine = row or [f"{place}", *[""] * 6]
        yield [*mine, "" if token is None else token.text, f"{alike[place]:.3f}"]


def _values(name: str, one: "Walk", other: "Walk | None") -> dict[str, Any]:
    from sdloop.inspection.words import parting

    values: dict[str, Any] = {"encoder": name, "tokens": list(map(dataclasses.asdict, one.tokens))}
    if other is not None:
        values["versus"] = [dataclasses.asdict(token) for token in other.tokens]
        values["alike"] = parting(one, other)[: max(len(one.tokens), len(other.tokens))]
    return values


def _attention_sheet(components: "Components", recipe: Recipe) -> "Image":
    """The picture, and for each token of its prompt the attention map, row by row."""
    from sdloop.inspection.attention import heat, recorded
    from sdloop.inspection.words import walk
    from sdloop.latents.noise import latent_size
    from sdloop.pipeline.generate import generate

    size = latent_size(*recipe.size, components.vae_factor)
    guided = recipe.guided and not components.embeds_guidance
    with recorded(components.unet, size=size, guided=guided) as maps:
        picture = generate(components, recipe)[0].image
    tokens = walk(components.tokenizer, components.text_encoder, recipe.prompt).tokens
    mean = maps.mean()
    cells = [("the picture", picture)]
    cells += [(safe(token.text), heat(picture, mean[token.place])) for token in tokens[1:-1]]
    return captioned(cells, across=_COLUMNS)
