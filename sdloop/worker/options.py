"""Read from the arguments whether a worker is wanted. Full parsing would take half a second."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MODES = ("auto", "always", "never")
KEEP_ALIVE = 300.0

# The commands that make pictures; all others are quick, or need a process of their own.
COMMANDS = frozenset(
    (
        *("txt2img", "img2img", "inpaint", "outpaint", "upscale", "animate", "mix"),
        *("batch", "rerun", "verify", "inspect"),
    )
)
# Flags that make a call quick, measure a fresh process, or start processes of their own.
_ELSEWHERE = ("--help", "--dry-run", "--gpus", "--on")
# Calls that differ in one of these flags do not need the same model.
_MODEL = (
    *("--model", "-m", "--revision", "--variant", "--vae", "--unet", "--refiner"),
    *("--device", "--dtype", "--memory", "--config"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """``mode`` is one of ``MODES``; ``model`` is equal for calls that need the same model."""

    mode: str
    keep_alive: float
    model: tuple[str, ...]
    quiet: bool


def worker_options(argv: Sequence[str], environment: Mapping[str, str]) -> WorkerOptions | None:
    """What the call asks of a worker; None if it wants no worker, or if a flag is invalid.

    Then the command runs in this process, which reports invalid flags.
    """
    words = [word for word in argv if word != "--debug"]
    if not words or words[0] not in COMMANDS or any(w.startswith(_ELSEWHERE) for w in words):
        return None
    mode = _value(words, "--worker") or environment.get("SDLOOP_WORKER") or "auto"
    stay = _value(words, "--keep-alive") or environment.get("SDLOOP_KEEP_ALIVE")
    keep_alive = KEEP_ALIVE if stay is None else seconds(stay)
    if mode not in MODES or mode == "never" or keep_alive is None or keep_alive == 0:
        return None
    model = tuple(f"{flag}={_value(words, flag)}" for flag in _MODEL)
    standing = environment.get("SDLOOP_MODEL", ""), environment.get("SDLOOP_CONFIG", "")
    quiet = not {"-q", "--quiet"}.isdisjoint(words)
    return WorkerOptions(mode=mode, keep_alive=keep_alive, model=(*model, *standing), quiet=quiet)


def _value(words: Sequence[str], flag: str) -> str | None:
    """The value of a flag; if it is given several times, the last one."""
    found = None
    for place, word in enumerate(words):
        if word == "--":
            break
        if word == flag and place + 1 < len(words):
            found = words[place + 1]
        elif word.startswith(f"{flag}="):
            found = word.removeprefix(f"{flag}=")
    return found


def seconds(text: str) -> float | None:
    """The seconds in ``90``, ``90s``, ``5m`` or ``2h``; negative means for ever, None invalid.

    >>> seconds("5m")
    300.0
    """
    found = re.fullmatch(r"(-?\d+(?:\.\d+)?)([smh]?)", text, re.ASCII)
    if found is None:
        return None
    return float(found[1]) * {"": 1, "s": 1, "m": 60, "h": 3600}[found[2]]
