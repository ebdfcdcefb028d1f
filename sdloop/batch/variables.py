"""The variables of a prompt template: ``${colour={red|blue}}`` and ``${colour}``."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from sdloop.batch.templates import Choice, Held, Template, Use
from sdloop.errors import PromptError

_PAIR = re.compile(r"\s*([A-Za-z_-][\w-]*)\s*=\s*(.*?)\s*", re.DOTALL)


@dataclass(frozen=True, eq=False)
class Variables:
    """The variables that are set at a place; compared by identity, as a key of a cache."""

    values: Mapping[str, Template] = field(default_factory=dict)

    def use(self, name: str) -> Choice | None:
        """What stands for ``${name}``; None if it is not set."""
        return Choice((self.values[name],)) if name in self.values else None

    def set(self, name: str, value: Template, *, once: bool) -> "tuple[Variables, Held | None]":
        """The variables with one more; and with ``once`` what has to stand before its uses."""
        if not once:
            return Variables({**self.values, name: value}), None
        held = Held(value)
        return Variables({**self.values, name: Template((Use(held),))}), held


NO_VARIABLES = Variables()


def given(text: str, variables: Variables, parse: Callable[[str], Template]) -> Variables:
    """The variables with those of ``season=winter, place=Rome`` in ``__file(…)__``."""
    values = dict(variables.values)
    for part in text.split(","):
        found = _PAIR.fullmatch(part)
        if not found:
            raise PromptError(
                f"the parameters of a wildcard file must be name=value, got {part.strip()!r}"
            )
        values[found[1]] = parse(found[2])
    return Variables(values)
