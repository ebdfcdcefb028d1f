"""Parsed prompt templates; ``variants`` has the parser.

A template can count its texts and build any of them without building the others, so that even a
plan of millions starts at once.
"""

import math
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

Draw = Callable[[int], int]


@dataclass(frozen=True)
class Choice:
    """A choice of ``least`` to ``most`` of the options, in their order."""

    options: "tuple[Template, ...]"
    least: int = 1
    most: int = 1
    between: str = ", "
    is_file: bool = False

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

    def text(self, index: int) -> str:
        """The text of the ``index``-th way: fewer options first, then those that stand first."""
        taken = self.least
        while index >= self.table[0][taken]:
            index -= self.table[0][taken]
            taken += 1
        texts, place = [], 0
        while taken:
            left = self.table[place][taken] - index  # of the ways from here on, with this one
            place = self._first(place, taken, left)
            index = self.table[place][taken] - left
            taken, place = taken - 1, place + 1
            index, rest = divmod(index, self.table[place][taken])
            texts.append(self.options[place - 1].text(index))
            index = rest
        return self._joined(texts)

    def _first(self, place: int, taken: int, left: int) -> int:
        """The option from ``place`` on that stands first in the last but ``left`` ways."""

        def passed(place: int) -> bool:
            return self.table[place + 1][taken] < left

        return place + bisect_left(range(place, len(self.options)), True, key=passed)

    def drawn(self, draw: Draw) -> str:
        taken = self.least + draw(self.most - self.least + 1)
        left = list(range(len(self.options)))
        chosen = sorted(left.pop(draw(len(left))) for _ in range(taken))
        return self._joined([self.options[place].drawn(draw) for place in chosen])

    def _joined(self, texts: list[str]) -> str:
        return texts[0] if self.most == 1 and texts else self.between.join(t.strip() for t in texts)


@dataclass(frozen=True)
class Template:
    """A text with choices in it."""

    items: tuple[str | Choice, ...]

    @cached_property
    def count(self) -> int:
        """The number of texts, including equal ones."""
        return math.prod(item.count for item in self.items if isinstance(item, Choice))

    @cached_property
    def depth(self) -> int:
        return max((item.depth for item in self.items if isinstance(item, Choice)), default=0)

    def text(self, index: int) -> str:
        """The ``index``-th text; the last choice in the template changes first."""
        texts = []
        for item in reversed(self.items):
            if isinstance(item, str):
                texts.append(item)
            else:
                index, place = divmod(index, item.count)
                texts.append(item.text(place))
        return "".join(reversed(texts))

    def drawn(self, draw: Draw) -> str:
        """A random text; ``draw(n)`` returns a number below n."""
        return "".join(i if isinstance(i, str) else i.drawn(draw) for i in self.items)
