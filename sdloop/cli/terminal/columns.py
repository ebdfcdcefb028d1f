"""``name  value`` in aligned columns, and nothing in it that would steer the terminal."""

from collections.abc import Iterator, Sequence


def entry(name: str, text: str, width: int) -> Iterator[str]:
    """The lines of one entry, ``width`` wide up to the value; its further lines stand below."""
    first, *others = text.split("\n")
    yield f"  {safe(name):{width}}  {safe(first)}".rstrip()
    for line in others:
        yield f"  {'':{width}}  {safe(line)}".rstrip()


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    """Each row as a line, its cells below those of the row above."""
    clean = [[safe(cell) for cell in row] for row in rows]
    widths = [max(map(len, cells)) for cells in zip(*clean, strict=True)]
    return [
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in clean
    ]


def safe(text: str) -> str:
    """``text`` without what would steer the terminal: it comes from a file of unknown origin."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
