"""The command line: the only rooms that print, exit or know argv.

A command is imported when it is chosen. Its file has only its flags and its help, and imports its
work (in ``make``, ``read`` or ``inspect.figures``) when it is called; the work imports torch inside
its functions. So ``--help`` and a misspelt flag take a fraction of a second.
"""

import io
import signal
import sys
from functools import lru_cache
from typing import Annotated, Any

import typer

from sdloop.cli.terminal.commands import App, LazyGroup
from sdloop.cli.terminal.output import emit, one_line_endings

_MAKE = {
    "txt2img": "Make pictures from a prompt, or from a file of prompts.",
    "img2img": "Make new versions of pictures, guided by a prompt.",
    "inpaint": "Repaint the part of a picture that a mask marks.",
    "outpaint": "Extend a picture beyond its edges.",
    "upscale": "Enlarge pictures, and let the model add detail.",
    "animate": "Restyle an animation or a video, frame by frame.",
    "mix": "Blend prompts in one picture, a series or a film.",
    "batch": "Make many pictures: prompts, settings and seeds, combined.",
    "rerun": "Make pictures again from their files, with changes.",
}
_LOOK = {
    "show": "Print the settings that pictures were made with.",
    "diff": "Compare two pictures: their settings and their pixels.",
    "verify": "Make pictures again, and check that they are the same.",
    "sheet": "Arrange pictures on one labelled sheet.",
    "pick": "Choose pictures of a folder in the browser.",
    "tokens": "Show how a model splits a prompt into tokens.",
    "inspect": "Look inside the model and the sampling loop.",
}
_SET_UP = {
    "models": "List the models on this machine, or describe one.",
    "train-embedding": "Teach a model a new word from a few pictures.",
    "index": "List finished pictures, so that batch resumes quickly.",
    "config": "Read and change the settings of every command.",
    "worker": "Control the process that keeps a model loaded.",
    "bench": "Measure how fast sdloop runs on this machine.",
}


class _Commands(LazyGroup):
    """All commands; ``one_line_endings`` turns their errors into one line and an exit code."""

    package = "sdloop.cli"
    sections = {"Make pictures": _MAKE, "Look at pictures": _LOOK, "Set up": _SET_UP}  # noqa: RUF012

    def invoke(self, ctx: Any) -> Any:
        with one_line_endings(debug=bool(ctx.params["debug"])):
            return super().invoke(ctx)


app = App(
    cls=_Commands,
    name="sdloop",
    no_args_is_help=True,
    context_settings={
        "help_option_names": ["--help", "--help-all"],
        "max_content_width": 100,
    },
)


def _print_versions(asked: bool) -> None:
    if asked:
        from sdloop.metadata.versions import installed

        for package, version in installed().items():
            emit(f"{package} {version}")
        raise typer.Exit()


@app.callback()
def sdloop(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            callback=_print_versions,
            is_eager=True,
            help="Print the versions of sdloop and of the libraries it uses.",
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="SDLOOP_DEBUG", hidden=True)] = False,
) -> None:
    """Make pictures from text with Stable Diffusion.

    Example:
      sdloop txt2img "two green frogs on stilts" --seed 4 -o frogs.png
    """


def main() -> None:
    """Run the command line of this process."""
    # SIGTERM ends like Ctrl-C: temporary files are removed, finished pictures are reported.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Output is UTF-8 in any locale, and a file name may contain bytes that are not valid text.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    _command()(prog_name="sdloop")


@lru_cache
def _command() -> Any:
    """The command line, built only once: a worker runs it for each call."""
    return typer.main.get_command(app)
