"""The seeds of a command: ``4``, ``4,7,9``, ``1..100``, or random ones; and ``--count``."""

import random
import re
from collections.abc import Sequence

from sdloop.batch.prompts import Prompt
from sdloop.batch.settings import Settings
from sdloop.errors import SettingError
from sdloop.recipe.limits import MAX_SEED
from sdloop.rules import check_whole
from sdloop.worker.inside import HOST
from sdloop.worker.messages import Carried

# Every Recipe and file name is checked before the first picture is made; this keeps that short.
MAX_PICTURES = 100_000

_PART = re.compile(r"(?P<first>[0-9]+)(?:\.\.(?P<last>[0-9]+))?", re.ASCII)


def parse_seeds(text: str) -> list[int]:
    """The seeds in a ``--seed``, in order; ranges include both ends.

    Raises ``SettingError`` for anything else, for a seed beyond 32 bits and for a repeated one.

    >>> parse_seeds("4,7..9")
    [4, 7, 8, 9]
    """
    seeds: list[int] = []
    for part in text.split(","):
        seeds.extend(_parse_part(part.strip(), text))
        check_pictures(len(seeds))
    if len(set(seeds)) < len(seeds):
        twice = next(seed for seed in seeds if seeds.count(seed) > 1)
        raise SettingError(f"seed must name each seed once, got {twice} twice in {text!r}")
    return seeds


def _parse_part(part: str, text: str) -> range:
    found = _PART.fullmatch(part)
    if found is None:
        hint = "; for a random seed leave it out" if part in ("-1", "random", "") else ""
        raise SettingError(f"seed must be like 4 or 4,7 or 1..100, got {text!r}{hint}")
    # Too many digits are refused as text: int() raises another error for thousands of digits.
    if any(len(end.lstrip("0")) > 10 for end in found.groups("")):
        raise SettingError(f"seed must be at most {MAX_SEED}, got {text!r}")
    first = int(found["first"])
    last = first if found["last"] is None else int(found["last"])
    check_whole("seed", first, 0, MAX_SEED)
    check_whole("seed", last, 0, MAX_SEED)
    if last < first:
        raise SettingError(f"seed must be an ascending range, got {part!r}")
    check_pictures(last - first + 1)
    return range(first, last + 1)


def check_pictures(pictures: int) -> None:
    """Raise ``SettingError`` for more pictures than one command may make."""
    if pictures > MAX_PICTURES:
        raise SettingError(f"one command makes at most {MAX_PICTURES} pictures, got {pictures}")


def count_from(seeds: Sequence[int], count: int) -> list[int]:
    """``count`` seeds: the given one and the following ones.

    They never wrap around, which would repeat the pictures of seed 0, 1 … after 2**32 - 1.
    """
    check_whole("count", count, 1, MAX_PICTURES)
    if count == 1:
        return list(seeds)
    if len(seeds) > 1:
        raise SettingError(f"count needs a single seed to start from, got {len(seeds)} seeds")
    last = seeds[0] + count - 1
    if last > MAX_SEED:
        raise SettingError(f"seed {seeds[0]} and count {count} end at {last}, beyond {MAX_SEED}")
    return list(range(seeds[0], last + 1))


def random_seed(count: int) -> int:
    """A random seed, low enough for ``count`` consecutive seeds."""
    check_whole("count", count, 1, MAX_PICTURES)
    host = HOST.get()
    if host.unfinished is not None and host.unfinished.seed is not None:
        return host.unfinished.seed
    seed = random.randrange(MAX_SEED - count + 2)
    host.carry(Carried(seed=seed))
    return seed


def seeds_of(
    prompts: Sequence[Prompt], settings: Settings, *, seed: str | None, count: int | None
) -> list[int] | None:
    """The seeds for all prompts without a seed; None if all have their own.

    ``seed`` and ``count`` are the flags; a settings file may also set the count. Without any seed,
    it is random.
    """
    how_many = settings.command.get("count", 1)
    if all("seed" in prompt.settings for prompt in prompts):
        if seed is not None or count is not None:
            raise SettingError("seed and count cannot be used here: every prompt has its own seed")
        return None
    if seed is not None:
        seeds = parse_seeds(seed)
        # Several seeds fix the number of pictures: ignore the count in a settings file.
        several = len(seeds) > 1 and count is None
        return seeds if several else count_from(seeds, how_many)
    return count_from([settings.recipe.get("seed", random_seed(how_many))], how_many)
