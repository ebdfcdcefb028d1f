"""The text of a prompt at each step of the loop; ``changes`` has the syntax."""

from collections.abc import Iterator

from sdloop.prompt.changes import Items, Switch, Turns, parsed

Alternatives = tuple[tuple[int, str], ...]


def alternatives(text: str, steps: int) -> Alternatives:
    """The texts of a prompt over a loop of ``steps`` steps, each with the last step that uses it.

    Steps count from 1 to ``steps``; a prompt without changes gives one text. Emphasis and escapes
    stay in the texts. Raises ``PromptError`` for a ``when`` that is not finite.

    >>> alternatives("a [red:blue:0.25] frog", 20)
    ((5, 'a red frog'), (20, 'a blue frog'))
    >>> alternatives("a [frog|rabbit]", 3)
    ((1, 'a frog'), (2, 'a rabbit'), (3, 'a frog'))
    """
    items = parsed(text)
    found: list[tuple[int, str]] = []
    for end in sorted(_ends(items, steps)):
        seen = _text_at(items, end, steps)
        if found and found[-1][1] == seen:
            found.pop()
        found.append((end, seen))
    return tuple(found)


def unseen(text: str, steps: int) -> tuple[str, ...]:
    """The pieces of a prompt that no step uses: ``[a:b:30]`` has one (``b``) in 25 steps.

    >>> unseen("a [red:blue:30] frog", 25)
    ('blue',)
    """
    items = parsed(text)
    seen: set[int] = set()
    ahead = [(items, end) for end in _ends(items, steps)]
    while ahead:
        here, step = ahead.pop()
        branches = [item.at(step, steps) for item in here if not isinstance(item, str)]
        seen.update(map(id, branches))
        ahead += [(branch, step) for branch in branches]
    pieces = [_text_at(branch, 1, steps) for branch in _branches(items) if id(branch) not in seen]
    return tuple(dict.fromkeys(piece.strip() for piece in pieces if piece.strip()))


def _branches(items: Items) -> Iterator[Items]:
    """All texts that the changes choose from, in no particular order."""
    # A list instead of recursion: brackets may be nested deeper than Python's recursion limit.
    ahead = list(items)
    while ahead:
        item = ahead.pop()
        for branch in () if isinstance(item, str) else item.branches:
            yield branch
            ahead += branch


def _ends(items: Items, steps: int) -> set[int]:
    """The steps after which the text may change, and the last one."""
    changes = [
        item
        for branch in (items, *_branches(items))
        for item in branch
        if not isinstance(item, str)
    ]
    ends = {change.last_step(steps) for change in changes if isinstance(change, Switch)}
    alternates = any(isinstance(change, Turns) for change in changes)
    return set(range(1, steps + 1)) if alternates else (ends | {steps}) - {0}


def _text_at(items: Items, step: int, steps: int) -> str:
    texts, ahead = [], list(reversed(items))
    while ahead:
        item = ahead.pop()
        if isinstance(item, str):
            texts.append(item)
        else:
            ahead += reversed(item.at(step, steps))
    return "".join(texts)
