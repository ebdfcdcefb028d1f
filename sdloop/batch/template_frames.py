"""What has been read of a template inside a pair of braces."""

from dataclasses import dataclass, field

from sdloop.batch.template_tokens import MAX_TAKEN, WEIGHT_UNIT
from sdloop.batch.templates import Choice, Item, Template
from sdloop.prompt.caret import refusal


@dataclass(kw_only=True)
class Frame:
    """An open brace, or the whole text; with ``variable`` and ``sign`` one of a variable."""

    place: int = field(kw_only=False)
    takes: tuple[int, int | None, str] | None = None
    weights: list[int] = field(default_factory=lambda: [WEIGHT_UNIT])
    variable: str | None = None
    sign: str = ""
    options: list[list[Item]] = field(default_factory=lambda: [[]])
    brackets: int = 0  # open brackets of the prompt grammar that are closed later

    @property
    def starts(self) -> bool:
        """Whether nothing has been read yet."""
        return self.options == [[]]

    def add(self, item: Item) -> None:
        self.options[-1].append(item)

    def next_option(self, weight: int) -> None:
        self.options.append([])
        self.weights.append(weight)

    def templates(self) -> tuple[Template, ...]:
        return tuple(Template(_merged(option)) for option in self.options)

    def choice(self, text: str) -> Choice:
        """The choice that the braces stand for; ``text`` is for the error."""
        options = self.templates()
        if self.takes is None:
            return Choice(options, weights=weights_of(self.weights))
        # If __animals__ is the only option, each of its lines counts as an option.
        weighted = [
            one
            for option, weight in zip(options, self.weights, strict=True)
            for one in _lines(option, weight)
        ]
        least, most, between = self.takes
        most = len(weighted) if most is None else most
        if not least <= most <= len(weighted):
            raise refusal(
                f"{max(least, most)} cannot be taken of {len(weighted)}", text, self.place
            )
        if most > MAX_TAKEN:
            raise refusal(f"at most {MAX_TAKEN} can be taken, got {most}", text, self.place)
        flat = tuple(one for one, _ in weighted)
        return Choice(flat, least, most, between, weights=weights_of([w for _, w in weighted]))


def weights_of(weights: list[int]) -> tuple[int, ...] | None:
    """The weights, or None if they are all alike."""
    return None if len(set(weights)) == 1 else tuple(weights)


def _lines(option: Template, weight: int) -> list[tuple[Template, int]]:
    stripped = [i for i in option.items if not (isinstance(i, str) and not i.strip())]
    only = stripped[0] if len(stripped) == 1 else None
    if not isinstance(only, Choice) or not only.is_file:
        return [(option, weight)]
    own = only.weights or (WEIGHT_UNIT,) * len(only.options)
    return [(one, weight * w) for one, w in zip(only.options, own, strict=True)]


def _merged(items: list[Item]) -> tuple[Item, ...]:
    """The items, with neighbouring texts merged."""
    merged: list[Item] = []
    for item in items:
        if isinstance(item, str) and merged and isinstance(merged[-1], str):
            item = merged.pop() + item  # type: ignore[operator]
        merged.append(item)
    return tuple(merged)
