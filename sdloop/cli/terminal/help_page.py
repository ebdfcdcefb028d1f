"""The pages of ``--help``, with the flags that people use, and of ``--help-all``, with all.

typer's own pages need rich, whose import takes longer than all else that a help page needs.
"""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import typer

HELP_ALL = "--help-all"
# A command with no more flags than this shows all of them, and with fewer all that they say.
FEW, VERY_FEW = 20, 8
# Of the others --help shows what most people use: the settings whose rows in ``recipe.fields`` say
# so, these ...
COMMON = frozenset(
    (
        *("size", "seed", "count", "config", "device", "images"),
        *("output", "outdir", "overwrite", "dry_run", "quiet"),
    )
)
# ... and what is a command's own.
OWN = {
    "txt2img": {"hires", "from_file", "preview"},
    "inpaint": {"mask", "mask_blur", "mask_margin"},
    "control": {"preprocess", "preprocess_model"},
    "mask": {"mask_model", "mask_threshold", "mask_grow"},
    "outpaint": {"left", "right", "up", "down"},
    "upscale": {"factor", "upscaler"},
    "animate": {"carry", "fps", "loop", "save_frames"},
    "mix": {"weight", "at", "slider", "walk", "fps"},
    "batch": {"sweep", "pick", "wildcards", "from_file"},
    "rerun": {"prompt", "drop", "hires"},
    "train-embedding": {"token", "init", "vectors", "resume", "sample_every", "learning_rate"},
    "steps": {"every"},
    "prompt": {"versus", "json"},
    "schedule": {"compare", "betas", "add_noise", "sigmas"},
    "noise": {"columns", "rows"},
}
_EXAMPLES_SHOWN = 3
_SMALL = 3  # flags; a brief page joins smaller groups to "Picture"
_LAST = ("Model", "Output")  # headings
_NAMES = 28  # the widest column of names
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\s+(?=\[default)")
_CLAUSE_END = re.compile(r"[;:] | \(")


def note_help_all(ctx: Any, args: Sequence[str]) -> None:
    """Remember which of its two names the help flag is called by; typer does not tell."""
    ctx.meta[HELP_ALL] = HELP_ALL in args


def write_page(command: Any, ctx: Any, formatter: Any) -> None:
    """Usage, what the command does, its arguments and flags by group, examples."""
    whole = ctx.meta.get(HELP_ALL, False)
    shown, hidden = _shown(command, everything=whole)
    brief = not whole and len(shown) + hidden > VERY_FEW
    text, _, examples = (command.help or "").partition("\nExample")
    command.format_usage(ctx, formatter)
    formatter.write_paragraph()
    formatter.write_text(text.partition("\n")[0] if brief else text)
    _write_commands(command, ctx, formatter)
    _write_rows(formatter, shown, brief=brief)
    _write_examples(formatter, examples, brief=brief)
    if brief:
        more = f"{hidden} more flags" if hidden else "More about each flag"
        formatter.write(f"\n{more}: {ctx.command_path} {HELP_ALL}\n")


def _write_commands(command: Any, ctx: Any, formatter: Any) -> None:
    """The commands of a group, with a line about each."""
    if hasattr(command, "command_sections"):
        for heading, lines in command.command_sections(ctx).items():
            _write_heading(formatter, heading)
            with formatter.indentation():
                formatter.write_dl(list(lines.items()))


def _write_examples(formatter: Any, examples: str, *, brief: bool) -> None:
    """The lines below the heading of a docstring, as they are typed."""
    _, *lines = examples.split("\n")
    if lines:
        _write_heading(formatter, "Examples")
        for line in lines[:_EXAMPLES_SHOWN] if brief else lines:
            formatter.write(f"  {line.strip()}\n")


def _shown(command: Any, *, everything: bool) -> tuple[list[Any], int]:
    """The parameters for the page, and how many flags it leaves out."""
    params = [param for param in command.params if not param.hidden]
    flags = [param for param in params if param.param_type_name == "option"]
    if everything or len(flags) <= FEW:
        return params, 0
    from sdloop.recipe.fields import SETTINGS  # which such a command has imported

    names = COMMON | OWN.get(command.name, set())
    names |= {name for name, row in SETTINGS.items() if row.common}
    shown = [param for param in params if param not in flags or param.name in names]
    return shown, len(params) - len(shown)


def _write_rows(formatter: Any, params: Sequence[Any], *, brief: bool) -> None:
    """A row for each parameter, below the heading that it belongs to."""
    names = [_name(param, brief=brief) for param in params]
    across = min(max(map(len, names), default=0), _NAMES)
    for heading, places in _sections(params, brief=brief).items():
        _write_heading(formatter, heading)
        for place in places:
            width = formatter.width - across - 4
            text = params[place].help or ""
            text = shortened(text, width) if brief else text
            # The formatter's own lists break flags at their hyphens.
            first, *others = textwrap.wrap(text, width, break_on_hyphens=False) or [""]
            if len(names[place]) > across:
                others, first = [first, *others], ""
            formatter.write(f"  {names[place].ljust(across)}  {first}".rstrip() + "\n")
            formatter.write("".join(f"{'':{across + 4}}{line}\n" for line in others))


def _sections(params: Sequence[Any], *, brief: bool) -> dict[str, list[int]]:
    """The headings, each with the places of its parameters; a brief page joins small groups."""
    sections: dict[str, list[int]] = {}
    for place, param in enumerate(params):
        argument = param.param_type_name == "argument"
        heading = "Arguments" if argument else param.rich_help_panel or "Options"
        sections.setdefault(heading, []).append(place)
    small = [name for name, places in sections.items() if len(places) < _SMALL]
    if brief and "Picture" in sections:
        for name in small:
            if name not in ("Arguments", "Picture"):
                sections["Picture"] += sections.pop(name)
    for name in _LAST:
        if name in sections:
            sections[name] = sections.pop(name)
    return sections


def _name(param: Any, *, brief: bool) -> str:
    """``-n, --negative-prompt TEXT``; a brief page leaves out other spellings."""
    if param.param_type_name == "argument":
        return str(param.metavar or param.name.upper())
    long = [flag for flag in param.opts if flag.startswith("--")]
    short = [flag for flag in param.opts if flag not in long]
    names = ", ".join([*short, *(long[:1] if brief else long), *param.secondary_opts])
    return names if param.is_flag else f"{names} {param.metavar or 'TEXT'}"


def shortened(text: str, width: int) -> str:
    """As much of a help text as fits in a line: its first sentence, and what is the default.

    >>> shortened("How strong it is. More is more. Default: 7.5.", 40)
    'How strong it is. Default: 7.5.'
    >>> shortened("How strong it is. More is more. Default: 7.5.", 20)
    'How strong it is.'
    >>> shortened("How strong it is; more is more.", 20)
    'How strong it is.'
    """
    first, *others = _SENTENCE_END.split(text)
    default = " ".join(other for other in others if other.startswith(("Default", "[default")))
    clauses = [f"{first[: end.start()]}." for end in _CLAUSE_END.finditer(first)]
    for candidate in (text, f"{first} {default}".strip(), first, *reversed(clauses)):
        if len(candidate) <= width:
            return candidate
    return textwrap.shorten(first, width, placeholder=" …")


def _write_heading(formatter: Any, heading: str) -> None:
    formatter.write(f"\n{typer.style(f'{heading}:', bold=True)}\n")
