"""The command line that makes a picture again, written out from its Recipe."""

import json
import shlex
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdloop.images.input.frame import BACK
from sdloop.recipe.fields import ROWS
from sdloop.recipe.kinds import Several
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.outpaint_windows import SIDES
from sdloop.recipe.recipe import FIELDS, Recipe

LARGER = 2.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """``sdloop`` with ``arguments``; ``stdin`` is what it reads, where it reads anything."""

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

    Settings that every command has anyway are left out, but for those in ``standing``: fields that
    the user's own settings file, or environment, decides otherwise. A Recipe that flags cannot tell
    is given as JSON, which any can.
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
        if name in values and (name in standing or _is_told(name, getattr(recipe, name)))
        for word in _flag(name, getattr(recipe, name))
    ]
    # What begins with a dash is taken for a flag, unless this stands before it.
    if any(place.startswith("-") for place in places):
        return Command(arguments=(_name(recipe), *flags, "--", *places))
    return Command(arguments=(_name(recipe), *places, *flags))


def larger(recipe: Recipe, path: str, output: str, *, standing: Collection[str] = ()) -> Command:
    """The command that makes the picture at ``path`` twice as large, as the file ``output``.

    One that was made from noise at once is made again with a second stage, any other is enlarged.
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
    """A path that is not taken for a flag."""
    return f"./{path}" if str(path).startswith("-") else str(path)


def runs_code(recipe: Recipe) -> bool:
    """Whether making the picture runs Python that the Recipe names: not for whoever only looks."""
    return any(parse_loss(loss).module is not None for loss in recipe.losses or ())


def _name(recipe: Recipe) -> str:
    """The subcommand that such pictures come from."""
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
    """Whether flags and arguments say just this, and no place means something else there."""
    texts = [recipe.prompt, *(recipe.mix_prompts or ())]
    if "-" in texts or "<lora:" in "".join(texts) or "\0" in json.dumps(values, ensure_ascii=False):
        return False
    if recipe.mix_prompts is not None and recipe.image is not None:
        return False
    return recipe.resize != BACK or recipe.mask is None


def _is_told(name: str, value: Any) -> bool:
    return name == "seed" or value != ROWS[name].default


def _flag(name: str, value: Any) -> Iterator[str]:
    """The words for one field; ``--name=value`` is safe whatever the value begins with."""
    flag = "--seed" if name == "seed" else ROWS[name].flag
    if not flag:  # an argument, or found out from the files that the command is given
        return
    if value is True:
        yield flag
    elif name == "loras":
        yield from (f"{flag}={lora.name}:{_number(lora.scale)}" for lora in value)
    elif isinstance(ROWS[name].kind, Several):
        yield from (f"{flag}={one}" for one in value)
    elif isinstance(value, tuple):
        separator = "x" if name.endswith("_size") else ","
        yield f"{flag}={separator.join(map(_text, value))}"
    else:
        yield f"{flag}={_text(value)}"


def _text(value: Any) -> str:
    return repr(value).removesuffix(".0") if isinstance(value, float) else str(value)


def _number(scale: float) -> str:
    """Without an exponent, which a LoRA's scale is not read with."""
    return f"{scale:.17f}".rstrip("0").rstrip(".") if "e" in repr(scale) else _text(scale)


def _template(name: str) -> str:
    """A file name as a template takes it, in which braces stand for settings."""
    return name.replace("{", "{{").replace("}", "}}")
