r"""Prompts with variants: one template, many texts.

::

    {a|b|c}            one of them; they can be nested, and one may be empty
    {3::a|b}           the same; with --pick random, a is drawn three times as often as b
    {2$$a|b|c}         two of them in order, joined by ", "; {1-2$$a|b|c} one or two
    {2$$ and $$a|b|c}  joined by another text
    __animals__        one line of the file animals.txt; __birds/*__ of all files in birds
    ${c={red|blue}}    a variable: each ${c} after it is red or blue
    ${c=!{red|blue}}   the same, and all ${c} are alike; ${c:red} is red where c is not set
    \{ \} \|           the character itself; \__ is two underscores

In ``(…)`` and ``[…]`` inside braces a ``|`` belongs to the prompt grammar: ``{[frog|cat]|dog}`` has
two variants. Backslashes before other characters are kept for the prompt grammar.

The syntax is that of sd-dynamic-prompts. Of its samplers, wraps and variants within the names of
files nothing is text without a word: they are refused.
"""

import re
from collections.abc import Callable

from sdloop.batch.template_frames import Frame
from sdloop.batch.template_tokens import (
    TOKEN,
    check_sampler,
    check_wildcard_sampler,
    checked_dollars,
    matched,
    takes_at,
    weight_at,
)
from sdloop.batch.templates import Choice, Template
from sdloop.batch.variables import NO_VARIABLES, Variables, given
from sdloop.errors import PromptError
from sdloop.prompt.caret import refusal

MAX_DEPTH = 50  # of nested braces, and of files that include files
MAX_LENGTH = 100_000  # characters of a text

_MEANT = {r"\{": "{", r"\}": "}", r"\__": "__", r"\$": "$"}
_MEANT_IN_BRACES = {r"\|": "|", r"\$$": "$$", r"\::": "::"}

# Returns the choice of the lines of a wildcard file; the variables are those that it may use.
Lookup = Callable[[str, Variables], Choice]


def parsed(text: str, lookup: Lookup, variables: Variables = NO_VARIABLES) -> Template:
    r"""Parse ``text`` as a template; ``lookup`` returns the lines for ``__name__``.

    Raises ``PromptError`` with a caret for braces that are unbalanced or nested too deeply, for a
    choice of more options than there are, and for a variable that is not set; and what ``lookup``
    raises.

    >>> template = parsed("{red|green} frog, \\{new\\}", no_wildcards)
    >>> [template.text(index) for index in range(template.count)]
    ['red frog, {new}', 'green frog, {new}']
    """
    if not varies(text):
        return Template((text,) if text else ())
    return _Parser(text, lookup, variables).template()


_MAY_VARY = re.compile(r"[{}]|__")


def no_wildcards(name: str, variables: Variables = NO_VARIABLES) -> Choice:
    """The lookup if there are no wildcard files."""
    raise PromptError(rf"__{name}__ needs --wildcards DIR: write \__{name}__ for the text")


def varies(text: str) -> bool:
    """Whether ``text`` contains any variants or wildcards."""
    return _MAY_VARY.search(text) is not None


class _Parser:
    """Reads a text token by token; ``frames`` are the braces that are open."""

    def __init__(self, text: str, lookup: Lookup, variables: Variables) -> None:
        self.text, self.lookup, self.variables = text, lookup, variables
        self.frames = [Frame(0)]
        self.matched = matched(text)

    def template(self) -> Template:
        place = 0
        while token := TOKEN.match(self.text, place):
            place = self._read(token)
        if len(self.frames) > 1:
            raise self._refusal(r"a { is never closed: write \{ for the text", self.top.place)
        return self._bounded(self.top.templates()[0])

    @property
    def top(self) -> Frame:
        return self.frames[-1]

    def _read(self, token: re.Match[str]) -> int:
        """Take in a token; returns the place after it."""
        top, start, mark = self.top, token.start(), token["mark"]
        if token["wildcard"] is not None:
            top.add(self._wildcard(token))
        elif token["pieces"] is not None:
            raise self._refusal(
                "the name of a wildcard file must not vary: write {__a__|__b__}", start
            )
        elif token["escape"] is not None:
            top.add(self._meant(token))
        elif token["variable"] is not None:
            return self._variable(token)
        elif token["dollars"] is not None and len(self.frames) > 1:
            checked_dollars(self.text, start, top.place)
        elif mark == "{":
            return self._opened(token)
        elif mark == "}":
            return self._closed(token)
        elif mark == "|" and len(self.frames) > 1 and not top.brackets:
            return self._next_option(token)
        else:
            top.brackets += self.matched.get(start, 0)
            top.add(token.group())
        return token.end()

    def _opened(self, token: re.Match[str]) -> int:
        self._check_depth(token.start())
        check_sampler(self.text, token.end())
        takes, place = takes_at(self.text, token.end())
        weight, place = weight_at(self.text, place)
        self.frames.append(Frame(token.start(), takes=takes, weights=[weight]))
        return place

    def _next_option(self, token: re.Match[str]) -> int:
        if self.top.variable is not None:
            raise self._refusal(
                "a | must stand in braces of its own here: write ${a={b|c}}", token.start()
            )
        weight, place = weight_at(self.text, token.end())
        self.top.next_option(weight)
        return place

    def _closed(self, token: re.Match[str]) -> int:
        if len(self.frames) == 1:
            raise self._refusal(r"a } has no { before it: write \} for the text", token.start())
        frame = self.frames.pop()
        if frame.variable is None:
            self.top.add(frame.choice(self.text))
        elif frame.sign == ":":
            self.top.add(self.variables.use(frame.variable) or Choice(frame.templates()))
        else:
            return self._assigned(frame, token)
        return token.end()

    def _assigned(self, frame: Frame, token: re.Match[str]) -> int:
        assert frame.variable is not None
        if not (frame.sign.startswith("?") and frame.variable in self.variables.values):
            value = frame.templates()[0]
            self.variables, held = self.variables.set(
                frame.variable, value, once=frame.sign.endswith("!")
            )
            if held:
                self.top.add(held)
        # The space around an assignment, which is no text itself, counts once.
        before = self.text[: frame.place]
        after = re.compile(r"\s*" if not before or before[-1].isspace() else "")
        found = after.match(self.text, token.end())
        return found.end() if found else token.end()

    def _variable(self, token: re.Match[str]) -> int:
        name, sign, start = token["name"], token["sign"], token.start()
        if sign is None:
            use = self.variables.use(name)
            if use is None:
                raise self._refusal(
                    f"variable {name} is not set: set it before this place, as in "
                    rf"${{{name}=red}}; write $\{{{name}\}} for the text",
                    start,
                )
            self.top.add(use)
            return token.end()
        if sign != ":" and len(self.frames) > 1:
            raise self._refusal("a variable must be set outside of all braces", start)
        self._check_depth(start)
        self.frames.append(Frame(start, variable=name, sign=sign))
        return token.end()

    def _wildcard(self, token: re.Match[str]) -> Choice:
        name, start = token["plain"] or token["wide"], token.start()
        check_wildcard_sampler(name, self.text, start)
        try:
            return self.lookup(name, self._given(token["given"]))
        except PromptError as error:
            if "\n" in str(error):  # it shows a place of its own
                raise
            raise self._refusal(str(error), start) from error

    def _given(self, text: str | None) -> Variables:
        """The variables that a file may use: those of this place, and those in ``__file(…)__``."""
        if text is None:
            return self.variables
        return given(text, self.variables, lambda v: parsed(v, self.lookup, self.variables))

    def _meant(self, token: re.Match[str]) -> str:
        escape, inside = token.group(), len(self.frames) > 1 and not self.top.brackets
        if escape in (r"\~", r"\@", r"\!") and inside and self.top.starts:
            return escape[1]
        if escape == r"\$" and self.text[token.end() : token.end() + 1] != "{":
            return escape
        return _MEANT.get(escape) or (_MEANT_IN_BRACES.get(escape, escape) if inside else escape)

    def _check_depth(self, place: int) -> None:
        if len(self.frames) > MAX_DEPTH:
            raise self._refusal(f"braces are nested deeper than {MAX_DEPTH}", place)

    def _bounded(self, template: Template) -> Template:
        if template.depth > 2 * MAX_DEPTH:
            raise self._refusal("braces in wildcard files are nested too deep", 0)
        if template.longest > max(MAX_LENGTH, len(self.text)):
            raise self._refusal(f"texts of this template are longer than {MAX_LENGTH}", 0)
        return template

    def _refusal(self, message: str, place: int) -> PromptError:
        return refusal(message, self.text, place)
