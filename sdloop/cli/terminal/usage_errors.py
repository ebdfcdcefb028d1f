"""One line about a command line that cannot be understood, with what was probably meant."""

import difflib
import re
from collections.abc import Sequence
from typing import Any, NoReturn

import typer

from sdloop.cli.terminal.output import say

# click's class, wherever this version of typer keeps click.
UsageError: Any = typer.BadParameter.__mro__[1]

# What click and pydantic say, and what we say instead.
_SAYINGS = {
    r"Option '(\S+)' requires an argument\.?": r"\1 needs a value",
    r"Got unexpected extra arguments?(?:\(s\))? \((.*)\)": r"'\1' is too much here: "
    "put a text of several words in quotes",
    r"Invalid value for '([^' ]+)[^:]*: Input should be a valid integer.*": r"\1 must be a whole "
    "number",
    r"Invalid value for '([^' ]+)[^:]*: Input should be a valid number.*": r"\1 must be a number",
}
# Flags of earlier versions; the nearest one by spelling would be --guidance.
_RENAMED = {
    "--guide": "--loss",
    "--guide-every": "--loss-every",
    "--guide-mode": "--loss-mode",
    "--guide-clip": "--loss-clip",
}


def refuse(error: Any, where: str) -> NoReturn:
    """Print what is wrong with the flags or arguments of a command, and exit."""
    flag = getattr(error, "option_name", None)
    if flag is not None and error.message.startswith("No such option"):
        _exit(f"{where} has no flag {flag}: {_flag_hint(flag, where, error.possibilities or ())}")
    message = error.format_message()
    for saying, ours in _SAYINGS.items():
        message = re.sub(saying, ours, message, flags=re.DOTALL)
    _exit(f"{message[:1].lower()}{message[1:].rstrip('.')} (see {where} --help)")


def unknown_command(where: str, words: Sequence[str], commands: Sequence[str]) -> NoReturn:
    """Refuse the first of ``words``, which should have been one of ``commands``."""
    name, *rest = words
    near = difflib.get_close_matches(name.lower(), commands, n=1)
    if near:
        meant = [near[0], *rest]
    elif "txt2img" in commands and _is_prompt(name, rest):
        meant = ["txt2img", *words]
    else:
        _exit(f"{where} has no command {name!r}: {where} --help lists all commands")
    line = " ".join([where, *map(_quoted, meant)])
    _exit(f"{where} has no command {name!r}: did you mean: {line}?")


def _flag_hint(flag: str, where: str, possible: Sequence[str]) -> str:
    if flag in _RENAMED:
        return f"it is called {_RENAMED[flag]} now"
    if flag == "--control-mode":
        return "write the mode behind the model, as in --control union#canny=edges.png"
    near = difflib.get_close_matches(flag, possible, n=1, cutoff=0.7)
    if near:
        return f"did you mean {near[0]}?"
    if " " not in where:
        return f'flags follow a command, as in: {where} txt2img "a frog" --seed 4'
    return f"{where} --help-all lists all flags"


def _is_prompt(word: str, rest: Sequence[str]) -> bool:
    """Whether this looks like a prompt without a command: several words, or nothing but flags."""
    return any(map(str.isspace, word)) or not rest or rest[0].startswith("-")


def _quoted(word: str) -> str:
    """A word as one types it in a shell, in double quotes where these are enough."""
    import shlex

    if shlex.quote(word) == word:
        return word
    return shlex.quote(word) if set(word) & set('"$`\\!') else f'"{word}"'


def _exit(line: str) -> NoReturn:
    say(f"error: {line}")
    raise typer.Exit(2)
