"""Parsed prompt templates; ``variants`` has the parser.

A template can count its texts and build any of them without building the others, so that even a
plan of millions starts at once.
"""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

Draw = Callable[[int], int]


@dataclass(frozen=True, eq=False)
class Held:
    """A variable whose text is chosen once, for all of its uses; it stands for no text itself."""

    value: "Template"

    @property
    def count(self) -> int:
        return self.value.count

    @property
    def depth(self) -> int:
        return 1 + self.value.depth


@dataclass(frozen=True)
class Use:
    """A place where the text of a variable stands."""

    held: Held


# The texts of the variables, as far as they are chosen.
Texts = dict[Held, str]


@dataclass(frozen=True)
class Choice:
    """A choice of ``least`` to ``most`` of the options, in their order.

    ``weights`` say how often each is drawn; None means all alike.
    """

    options: "tuple[Template, ...]"
    least: int = 1
    most: int = 1
    between: str = ", "
    is_file: bool = False
    weights: tuple[int, ...] | None = None

    @cached_property
    def table(self) -> tuple[tuple[int, ...], ...]:
        """``table[i][n]``: the number of ways to take ``n`` of the options from the ``i``-th on."""
        rows = [(1, *(0,) * self.most)]
        for option in reversed(self.options):
            last = rows[-1]
            rows.append(
                (1, *(last[n] + option.count * last[n - 1] for n in range(1, self.most + 1)))
            )
        return tuple(reversed(rows))

    @cached_property
    def count(self) -> int:
        return sum(self.table[0][self.least :])

    @cached_property
    def depth(self) -> int:
        return 1 + max(option.depth for option in self.options)

    @cached_property
    def longest(self) -> int:
        """No text is longer than this."""
        lengths = sorted((option.longest for option in self.options), reverse=True)
        return sum(lengths[: self.most]) + len(self.between) * max(0, self.most - 1)

    def text(self, index: int, texts: Texts) -> str:
        """The text of the ``index``-th way: fewer options first, then those that stand first."""
        taken = self.least
        while index >= self.table[0][taken]:
            index -= self.table[0][taken]
            taken += 1
        chosen, place = [], 0
        while taken:
            left = self.table[place][taken] - index  # of the ways from here on, with this one
            place = self._first(place, taken, left)
            index = self.table[place][taken] - left
            taken, place = taken - 1, place + 1
            index, rest = divmod(index, self.table[place][taken])
            chosen.append(self.options[place - 1].text(index, texts))
            index = rest
        return self._joined(chosen)

    def _first(self, place: int, taken: int, left: int) -> int:
        """The option from ``place`` on that stands first in the last but ``left`` ways."""

        def passed(place: int) -> bool:
            return self.table[place + 1][taken] < left

        return place + bisect_left(range(place, len(self.options)), True, key=passed)

    def drawn(self, draw: Draw, texts: Texts) -> str:
        taken = self.least + draw(self.most - self.least + 1)
        left = list(range(len(self.options)))
        chosen = sorted(left.pop(self._place(left, draw)) for _ in range(taken))
        return self._joined([self.options[place].drawn(draw, texts) for place in chosen])

    def _place(self, left: list[int], draw: Draw) -> int:
        """Which one of the options that are ``left`` is drawn next."""
        if self.weights is None:
            return draw(len(left))
        sums = list(accumulate(self.weights[place] for place in left))
        return bisect_right(sums, draw(sums[-1]))

    def _joined(self, texts: list[str]) -> str:
        return texts[0] if self.most == 1 and texts else self.between.join(t.strip() for t in texts)


Item = str | Choice | Held | Use


@dataclass(frozen=True)
class Template:
    """A text with choices in it."""

    items: tuple[Item, ...]

    @cached_property
    def count(self) -> int:
        """The number of texts, including equal ones."""
        return math.prod(item.count for item in self.items if isinstance(item, Choice | Held))

    @cached_property
    def depth(self) -> int:
        return max(
            (item.depth for item in self.items if isinstance(item, Choice | Held)), default=0
        )

    @cached_property
    def longest(self) -> int:
        """No text is longer than this."""
        return sum(map(_longest, self.items))

    def text(self, index: int, texts: Texts | None = None) -> str:
        """The ``index``-th text; the last choice in the template changes first.

        ``texts`` are those of the variables that stand outside of this template.
        """
        places = []
        for item in reversed(self.items):
            if isinstance(item, Choice | Held):
                index, place = divmod(index, item.count)
                places.append(place)
        return self._joined(
            {} if texts is None else texts, lambda part, known: part.text(places.pop(), known)
        )

    def drawn(self, draw: Draw, texts: Texts | None = None) -> str:
        """A random text; ``draw(n)`` returns a number below n."""
        return self._joined(
            {} if texts is None else texts, lambda part, known: part.drawn(draw, known)
        )

    def _joined(self, texts: Texts, made: Callable[["Choice | Template", Texts], str]) -> str:
        found = []
        for item in self.items:
            if isinstance(item, Held):
                texts[item] = made(item.value, texts)
            elif isinstance(item, Choice):
                found.append(made(item, texts))
            else:
                found.append(item if isinstance(item, str) else texts[item.held])
        return "".join(found)


def _longest(item: Item) -> int:
    if isinstance(item, str):
        return len(item)
    if isinstance(item, Choice):
        return item.longest
    return item.held.value.longest if isinstance(item, Use) else 0
