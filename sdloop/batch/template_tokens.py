"""The pieces of a prompt template: what stands at a place in its text."""

import re
from decimal import Decimal

from sdloop.prompt.caret import refusal

MAX_TAKEN = 20  # of {n$$…}
WEIGHT_UNIT = 1_000_000  # of the whole numbers that stand for weights

_NAME = r"[^\W_] (?:[\w./-]*?[^\W_])?"
# With spaces, accents, backslashes, and * ? [ab] for several files; then without __ inside.
_WIDE_NAME = r"""
    [^\W_] (?: (?!__) (?: [^{}()\[\]|$\#"\n] | \[[^\[\]{}()|$\n]*\] ) )* (?<![\s_\\])
    | [*?\[~@!] (?: (?!__) [^{}()|$\#"\n] )* (?<![\s_\\])
"""
TOKEN = re.compile(
    rf"""
    (?P<escape> \\(?:__|\$\$|\$(?=\{{)|::|.)? )
    | (?P<variable> \$\{{ \s* (?P<name>[A-Za-z_-][\w-]*) \s* (?: \}} | (?P<sign>:|\??=!?) \s* ) )
    | (?P<wildcard> (?<![^\W_]) __ (?: (?P<plain>{_NAME}) | (?P<wide>{_WIDE_NAME}) )
        (?: \s* \( (?P<given>[^()]*) \) )? __ (?![^\W_]) )
    | (?P<pieces> (?<![^\W_]) __ [\w./*-]* \$?\{{ [^{{}}]* \}} [\w./*-]* __ (?![^\W_]) )
    | (?P<dollars> \$\$ )
    | (?P<mark> [{{}}|()\[\]] )
    | _+ | \$ | [^\\{{}}|()\[\]_$]+
    """,
    re.VERBOSE | re.DOTALL,
)
_TAKES = re.compile(
    r"\s*(?P<least>\d{1,9})?\s*(?:(?P<dash>-)\s*(?P<most>\d{1,9})?)?\s*\$\$"
    r"(?:(?P<between>(?:\\.|[^{}$\\()\[\]])*)\$\$)?",
    re.DOTALL,
)
_WEIGHT = re.compile(r"\s*([+-]?(?:\d+\.?\d*|\.\d+))::")
_SAMPLER = re.compile(r"\s*([~@!])(?!\s*[|}])")
_OPENER = {")": "(", "]": "["}


def matched(text: str) -> dict[int, int]:
    """Where brackets of the prompt grammar open (1) and close (-1) inside one pair of braces.

    All others are plain text.
    """
    found: dict[int, int] = {}
    opened: list[dict[str, list[tuple[int, int]]]] = [{"(": [], "[": []}]
    for number, token in enumerate(TOKEN.finditer(text)):
        mark, here = token["mark"], opened[-1]
        if mark == "{" or token["sign"]:
            opened.append({"(": [], "[": []})
        elif mark == "}" and len(opened) > 1:
            opened.pop()
        elif mark in ("(", "["):
            here[mark].append((number, token.start()))
        elif mark in _OPENER and here[_OPENER[mark]]:
            order, start = here[_OPENER[mark]].pop()
            for others in here.values():  # those that opened later are never closed
                while others and others[-1][0] > order:
                    others.pop()
            found |= {start: 1, token.start(): -1}
    return found


def takes_at(text: str, place: int) -> tuple[tuple[int, int | None, str] | None, int]:
    """How many options are taken (None: all there are), and the text between them; where it ends.

    ::

        2$$   1-2$$   -2$$   1-$$   2$$ and $$
    """
    found = _TAKES.match(text, place)
    if not found or not (found["least"] or found["most"]):
        return None, place
    least = int(found["least"] or 1)
    most = int(found["most"]) if found["most"] else None if found["dash"] else least
    upper = least if most is None else most
    if not least <= upper <= MAX_TAKEN or upper == 0:
        what = f"{found['least'] or ''}{found['dash'] or ''}{found['most'] or ''}"
        raise refusal(
            f"how many are taken must be 1 to {MAX_TAKEN}, or a range of them, got {what}",
            text,
            found.start("least") if found["least"] else found.start("dash"),
        )
    between = ", " if found["between"] is None else found["between"]
    return (least, most, re.sub(r"\\([|{}$\\])", r"\1", between)), found.end()


def weight_at(text: str, place: int) -> tuple[int, int]:
    """How often the option that begins here is drawn, in units; and where its text begins."""
    found = _WEIGHT.match(text, place)
    if not found:
        return WEIGHT_UNIT, place
    weight = int(Decimal(found[1]) * WEIGHT_UNIT) if len(found[1]) < 30 else 0
    if not 0 < weight <= WEIGHT_UNIT**3:
        raise refusal(
            f"weight must be more than 0, to 6 places, got {found[1]}; write \\:: for the text",
            text,
            found.start(1),
        )
    return weight, found.end()


def check_sampler(text: str, place: int) -> None:
    """Raise ``PromptError`` for ``{~…}``, ``{@…}`` and ``{!…}``, at the place after the brace."""
    if found := _SAMPLER.match(text, place):
        raise refusal(_not_sampled(found[1], "{%s…}"), text, found.start(1))


def check_wildcard_sampler(name: str, text: str, place: int) -> None:
    """The same for ``__~name__``."""
    if name[0] in "~@!":
        raise refusal(_not_sampled(name[0], "__%s…__"), text, place + 2)


def _not_sampled(mark: str, form: str) -> str:
    shown = form % mark
    return {
        "~": f"{shown} draws at random: leave out the ~ and use --pick random, or write \\~",
        "@": f"{shown} takes its options in turn, which is not supported: write \\@ for the text",
        "!": f"{shown} takes every option, as without the mark: leave out the !, or write \\!",
    }[mark]


def checked_dollars(text: str, place: int, opened: int) -> None:
    """Raise ``PromptError`` for ``$$`` in braces that does not follow how many are taken."""
    if text[opened - 1 : opened] == "%":
        raise refusal(r"%{…$$…} is not supported: write \$$ for the text", text, opened - 1)
    raise refusal(
        r"$$ must follow how many are taken, as in {2$$a|b}: write \$$ for the text", text, place
    )
