"""Show the progress of a training on stderr."""

import sys
from collections.abc import Callable

from sdloop.cli.terminal.output import say


def training_progress(steps: int, *, quiet: bool) -> Callable[[int, float], None]:
    """A function that shows the mean of the last losses: a bar on a terminal, otherwise lines."""
    if quiet or sys.stderr is None:
        return lambda step, loss: None
    return _bar(steps) if sys.stderr.isatty() else _lines(steps)


def _bar(steps: int) -> Callable[[int, float], None]:
    from tqdm import tqdm

    bar = tqdm(total=steps, unit="step", leave=False)

    def show(step: int, loss: float) -> None:
        if bar.n == 0 and step > 1:  # a resumed training
            bar.initial = bar.n = step - 1
        bar.set_postfix_str(f"loss {loss:.4f}", refresh=False)
        bar.update()
        if step == steps:
            bar.close()

    return show


def _lines(steps: int) -> Callable[[int, float], None]:
    every = max(1, steps // 10)

    def show(step: int, loss: float) -> None:
        if step % every == 0 or step == steps:
            say(f"step {step} of {steps}: loss {loss:.4f}")

    return show
