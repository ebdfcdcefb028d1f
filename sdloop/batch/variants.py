r"""Prompts with variants: one template, many texts.

::

    {a|b|c}            one of them; they can be nested, and one may be empty
    {2$$a|b|c}         two of them in order, joined by ", "; {1-2$$a|b|c} one or two
    {2$$ and $$a|b|c}  joined by another text
    __animals__        one line of the file animals.txt
    \{ \} \|           the character itself; \__ is two underscores

In ``(…)`` and ``[…]`` inside braces a ``|`` belongs to the prompt grammar: ``{[frog|cat]|dog}`` has
two variants. Backslashes before other characters are kept for the prompt grammar.
"""

import re
from collections.abc import Callable

from sdloop.batch.templates import Choice, Template
from sdloop.errors import PromptError
from sdloop.prompt.caret import refusal

MAX_DEPTH = 50  # of nested braces, and of files that include files
MAX_TAKEN = 20  # of {n$$…}

_TOKEN = re.compile(
    r"""
    (?P<escape> \\(?:__|.)? )
    | (?<![^\W_]) __ (?P<wildcard> [^\W_] (?:[\w./-]*?[^\W_])? ) __ (?![^\W_])
    | (?P<mark> [{}|()\[\]] )
    | _+ | [^\\{}|()\[\]_]+
    """,
    re.VERBOSE | re.DOTALL,
)
_TAKES = re.compile(r"\s*(\d{1,9})(?:\s*-\s*(\d{1,9}))?\s*\$\$(?:([^{}|$\\()\[\]]*)\$\$)?")
_OPENER = {")": "(", "]": "["}
_MEANT = {r"\{": "{", r"\}": "}", r"\__": "__"}

# Returns the templates of the lines of a wildcard file.
Lookup = Callable[[str], tuple[Template, ...]]


class _Frame:
    """An open brace, or the whole text."""

    def __init__(self, place: int, takes: tuple[int, int, str] | None = None) -> None:
        self.place = place
        self.takes = takes
        self.options: list[list[str | Choice]] = [[]]
        self.brackets = 0  # open brackets of the prompt grammar that are closed later

    def add(self, item: str | Choice) -> None:
        self.options[-1].append(item)

    def templates(self) -> tuple[Template, ...]:
        return tuple(Template(_merged(option)) for option in self.options)


def parsed(text: str, lookup: Lookup) -> Template:
    r"""Parse ``text`` as a template; ``lookup`` returns the templates for ``__name__``.

    Raises ``PromptError`` with a caret for braces that are unbalanced or nested too deeply, and for
    a choice of more options than there are; and what ``lookup`` raises.

    >>> template = parsed("{red|green} frog, \\{new\\}", no_wildcards)
    >>> [template.text(index) for index in range(template.count)]
    ['red frog, {new}', 'green frog, {new}']
    """
    if not _MAY_VARY.search(text):
        return Template((text,) if text else ())
    matched = _matched(text)
    frames = [_Frame(0)]
    place = 0
    while token := _TOKEN.match(text, place):
        top, place, mark = frames[-1], token.end(), token["mark"]
        if token["wildcard"] is not None:
            top.add(_looked_up(token["wildcard"], lookup, text, token.start()))
        elif token["escape"] is not None:
            top.add(_meant(token["escape"], top, inside=len(frames) > 1))
        elif mark == "{":
            if len(frames) > MAX_DEPTH:
                raise refusal(f"braces are nested deeper than {MAX_DEPTH}", text, token.start())
            found = _TAKES.match(text, place)
            frames.append(_Frame(token.start(), _takes(found, text) if found else None))
            place = found.end() if found else place
        elif mark == "}":
            if len(frames) == 1:
                raise refusal(r"a } has no { before it: write \} for the text", text, token.start())
            frames.pop()
            frames[-1].add(_choice(top, text))
        elif mark == "|" and len(frames) > 1 and not top.brackets:
            top.options.append([])
        else:
            top.brackets += matched.get(token.start(), 0)
            top.add(token.group())
    if len(frames) > 1:
        raise refusal(r"a { is never closed: write \{ for the text", text, frames[-1].place)
    return _shallow(frames[0].templates()[0], text)


_MAY_VARY = re.compile(r"[{}]|__")


def no_wildcards(name: str) -> tuple[Template, ...]:
    """The lookup if there are no wildcard files."""
    raise PromptError(rf"__{name}__ needs --wildcards DIR: write \__{name}__ for the text")


def varies(text: str) -> bool:
    """Whether ``text`` contains any variants or wildcards."""
    return _MAY_VARY.search(text) is not None


def _matched(text: str) -> dict[int, int]:
    """Where brackets of the prompt grammar open (1) and close (-1) inside one pair of braces.

    All others are plain text.
    """
    found: dict[int, int] = {}
    opened: list[dict[str, list[tuple[int, int]]]] = [{"(": [], "[": []}]
    for number, token in enumerate(_TOKEN.finditer(text)):
        mark, here = token["mark"], opened[-1]
        if mark == "{":
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


def _meant(escape: str, top: _Frame, *, inside: bool) -> str:
    if escape == r"\|" and inside and not top.brackets:
        return "|"
    return _MEANT.get(escape, escape)


def _takes(found: re.Match[str], text: str) -> tuple[int, int, str]:
    least = int(found[1])
    most = least if found[2] is None else int(found[2])
    if not least <= most <= MAX_TAKEN or most == 0:
        what = f"{found[1]}-{found[2]}" if found[2] else found[1]
        raise refusal(
            f"how many are taken must be 1 to {MAX_TAKEN}, or a range of them, got {what}",
            text,
            found.start(1),
        )
    return least, most, ", " if found[3] is None else found[3]


def _choice(frame: _Frame, text: str) -> Choice:
    options = frame.templates()
    if frame.takes is None:
        return Choice(options)
    # If __animals__ is the only option, each of its lines counts as an option.
    flat = tuple(one for option in options for one in _lines(option))
    least, most, between = frame.takes
    if most > len(flat):
        raise refusal(f"{most} cannot be taken of {len(flat)}", text, frame.place)
    return Choice(flat, least, most, between)


def _lines(option: Template) -> tuple[Template, ...]:
    stripped = [i for i in option.items if not (isinstance(i, str) and not i.strip())]
    only = stripped[0] if len(stripped) == 1 else None
    return only.options if isinstance(only, Choice) and only.is_file else (option,)


def _looked_up(name: str, lookup: Lookup, text: str, place: int) -> Choice:
    try:
        return Choice(lookup(name), is_file=True)
    except PromptError as error:
        if "\n" in str(error):  # it shows a place of its own
            raise
        raise refusal(str(error), text, place) from error


def _shallow(template: Template, text: str) -> Template:
    if template.depth > 2 * MAX_DEPTH:
        raise refusal("braces in wildcard files are nested too deep", text, 0)
    return template


def _merged(items: list[str | Choice]) -> tuple[str | Choice, ...]:
    """The items, with neighbouring texts merged."""
    merged: list[str | Choice] = []
    for item in items:
        if isinstance(item, str) and merged and isinstance(merged[-1], str):
            item = merged.pop() + item  # type: ignore[operator]
        merged.append(item)
    return tuple(merged)
