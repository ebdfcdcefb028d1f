"""What the terminal sees: results on stdout, all else on stderr, and how a command ends."""

import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import typer

from sdloop.errors import INTERRUPTED, FileError, PromptError, SdloopError

STDOUT_CLOSED = 141  # what a shell reports of a program that SIGPIPE ended


def emit(line: str) -> None:
    """Print a result, at once: whoever reads the pipe may start on it while we go on."""
    try:
        # In one piece with its end: where output is not buffered, print() writes the two apart, and
        # another process may write between them.
        print(line + "\n", end="", flush=True)
    except OSError as error:
        _forget_stdout()
        if isinstance(error, BrokenPipeError):
            raise
        raise FileError(f"cannot write to standard output: {error.strerror}") from error


def say(line: str) -> None:
    """One line for people; nothing happens when stderr is closed."""
    # print(file=None) would print to stdout.
    if sys.stderr is not None:
        print("sdloop:", " ".join(line.split()), file=sys.stderr, flush=True)


def _forget_stdout() -> None:
    """Else Python writes what is left in the buffer once more when it exits, and complains."""
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())


@contextmanager
def one_line_endings(*, debug: bool) -> Iterator[None]:
    """Turn whatever sdloop raises on purpose into a line on stderr and its exit code."""
    try:
        with _one_line_warnings():
            yield
    except SdloopError as error:
        if debug:
            raise
        _tell(error)
        raise typer.Exit(error.exit_code) from error
    except BrokenPipeError as error:
        # Whoever read our output has seen enough of it (`| head -1`).
        raise typer.Exit(STDOUT_CLOSED) from error
    except KeyboardInterrupt as error:
        say("interrupted; the pictures that were finished are kept")
        raise typer.Exit(INTERRUPTED) from error


def _tell(error: SdloopError) -> None:
    """The error on a line, and below it the place in a prompt, if it shows one."""
    line, *shown = str(error).split("\n") if isinstance(error, PromptError) else [str(error)]
    say(f"error: {line}")
    for below in shown if sys.stderr is not None else ():
        print(below, file=sys.stderr, flush=True)


@contextmanager
def no_log_lines() -> Iterator[None]:
    """What goes wrong is raised; the log lines of libraries are for their own programmers."""
    import logging  # --help must not wait for it

    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


@contextmanager
def _one_line_warnings() -> Iterator[None]:
    """Show each distinct warning once, on a line of its own, without the code that raised it."""
    shown = set()

    def show(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
        # The others are notes between programmers.
        if issubclass(category, UserWarning | RuntimeWarning) and str(message) not in shown:
            shown.add(str(message))
            say(f"warning: {message}")

    with warnings.catch_warnings():
        warnings.showwarning = show
        yield
