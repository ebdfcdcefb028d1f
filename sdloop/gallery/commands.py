"""The command line that makes a picture again, built from its Recipe."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.images.input.frame import BACK
from sdloop.recipe.fields import ROWS
from sdloop.recipe.kinds import Compound, Several
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.outpaint_windows import SIDES
from sdloop.recipe.recipe import FIELDS, Recipe

LARGER = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """``sdloop`` with ``arguments``; ``stdin`` is the text that it reads, if any."""

    arguments: tuple[str, ...]
    stdin: str | None = None

    def __str__(self) -> str:
        """As a POSIX shell takes it.

        >>> print(Command(arguments=("txt2img", "it's a frog", "--seed=4")))
        sdloop txt2img 'it'"'"'s a frog' --seed=4
        """
        line = shlex.join(["sdloop", *self.arguments])
        if self.stdin is None:
            return line
        return f"printf '%s\\n' {shlex.quote(self.stdin)} | {line}"


def remaking(recipe: Recipe, *, standing: Collection[str] = ()) -> Command:
    """The command that makes the picture of a resolved ``recipe`` again.

    Settings at their default are left out, except those in ``standing``: the fields that the user's
    settings file or environment sets. A Recipe that cannot be written as flags is passed as JSON.
    """
    values = recipe.to_dict()
    if not _fits_flags(recipe, values):
        text = json.dumps(values)
        return Command(arguments=("txt2img", "--from-file", "-"), stdin=text)
    places = [recipe.image] if recipe.image is not None else []
    places += [recipe.prompt, *(recipe.mix_prompts or ())]
    flags = [
        word
        for name in FIELDS
        if name in values and (name in standing or _must_be_given(name, getattr(recipe, name)))
        for word in _flag(name, getattr(recipe, name))
    ]
    # After "--", an argument that begins with a dash is not taken for a flag.
    if any(place.startswith("-") for place in places):
        return Command(arguments=(_name(recipe), *flags, "--", *places))
    return Command(arguments=(_name(recipe), *places, *flags))


def larger(recipe: Recipe, path: str, output: str, *, standing: Collection[str] = ()) -> Command:
    """The command that makes the picture at ``path`` twice as large, as the file ``output``.

    A picture made by txt2img in one pass is made again with a hires pass, any other is enlarged.
    """
    if _name(recipe) == "txt2img" and recipe.hires is None:
        command = remaking(recipe, standing=standing)
        if command.stdin is None:
            name, *others = command.arguments
            flags = (f"--hires={LARGER:g}", f"--output={_template(output)}")
            return Command(arguments=(name, *flags, *others))
    place = plain_path(path)
    factor, seed = f"--factor={LARGER:g}", f"--seed={recipe.seed}"
    return Command(arguments=("upscale", place, factor, seed, f"--output={_template(output)}"))


def plain_path(path: str | Path) -> str:
    """The path, written so that it is not taken for a flag."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def runs_code(recipe: Recipe) -> bool:
    """Whether making the picture runs Python code that the Recipe names: never do so unasked."""
    return any(parse_loss(loss).module is not None for loss in recipe.losses or ())


def _name(recipe: Recipe) -> str:
    """The subcommand that makes such pictures."""
    if any(getattr(recipe, side) is not None for side in SIDES):
        return "outpaint"
    if recipe.mask is not None:
        return "inpaint"
    if recipe.factor is not None or recipe.noise_level is not None:
        return "upscale"
    if recipe.mix_prompts is not None:
        return "mix"
    return "txt2img" if recipe.image is None else "img2img"


def _fits_flags(recipe: Recipe, values: Mapping[str, Any]) -> bool:
    """Whether flags and arguments can express the Recipe exactly."""
    texts = [recipe.prompt, *(recipe.mix_prompts or ())]
    if "-" in texts or "<lora:" in "".join(texts) or "\0" in json.dumps(values, ensure_ascii=False):
        return False
    if recipe.mix_prompts is not None and recipe.image is not None:
        return False
    return recipe.resize != BACK or recipe.mask is None


def _must_be_given(name: str, value: Any) -> bool:
    return name == "seed" or value != ROWS[name].default


def _flag(name: str, value: Any) -> Iterator[str]:
    """The arguments for one field; ``--name=value`` is safe whatever the value begins with."""
    flag = "--seed" if name == "seed" else ROWS[name].flag
    if not flag:  # an argument, or a value that is computed from the command's files
        return
    if value is True:
        yield flag
    elif isinstance(ROWS[name].kind, Several | Compound):
        yield from (f"{flag}={one}" for one in value)
    elif isinstance(value, tuple):
        separator = "x" if name.endswith("_size") else ","
        yield f"{flag}={separator.join(map(_text, value))}"
    else:
        yield f"{flag}={_text(value)}"


def _text(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _template(name: str) -> str:
    """A file name with its braces escaped, because in a template they stand for settings."""
    return name.replace("{", "{{").replace("}", "}}")
