"""The command line: the only rooms that print, exit or know argv.

Nothing heavy is imported at the top of these files, so that ``--help`` and a mistyped flag cost a
fraction of a second; what needs torch imports it inside its function.
"""

import io
import signal
import sys
from functools import lru_cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from sdloop.cli.animate import animate
from sdloop.cli.batch import batch
from sdloop.cli.bench import bench
from sdloop.cli.config import config
from sdloop.cli.diff import diff
from sdloop.cli.img2img import img2img
from sdloop.cli.inpaint import inpaint
from sdloop.cli.inspect import inspect
from sdloop.cli.mix import mix
from sdloop.cli.models import models
from sdloop.cli.outpaint import outpaint
from sdloop.cli.pick import pick
from sdloop.cli.rerun import rerun
from sdloop.cli.sheet import sheet
from sdloop.cli.show import show
from sdloop.cli.terminal.output import emit, one_line_endings
from sdloop.cli.tokens import tokens
from sdloop.cli.train_embedding import train_embedding
from sdloop.cli.txt2img import txt2img
from sdloop.cli.upscale import upscale
from sdloop.cli.verify import verify
from sdloop.cli.worker import worker
from sdloop.metadata.versions import installed


class _Commands(TyperGroup):
    """All commands; whichever runs, it ends as ``one_line_endings`` says."""

    def invoke(self, ctx: Any) -> Any:
        with one_line_endings(debug=bool(ctx.params["debug"])):
            return super().invoke(ctx)


# typer imports pydantic, a fifth of the time of `txt2img --help`, to turn the None of these flags
# into False.
_NOT_ASKED = dict.fromkeys(("help", "install_completion", "show_completion"), False)

app = typer.Typer(
    cls=_Commands,
    name="sdloop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"default_map": _NOT_ASKED},
)
app.command()(txt2img)
app.command()(img2img)
app.command()(inpaint)
app.command()(outpaint)
app.command()(upscale)
app.command()(animate)
app.command()(mix)
app.command()(batch)
app.command()(rerun)
app.command()(verify)
app.command()(diff)
app.command()(tokens)
app.command("train-embedding")(train_embedding)
app.add_typer(inspect, name="inspect")
app.command()(sheet)
app.command()(pick)
app.command()(show)
app.command()(models)
app.add_typer(config, name="config")
app.add_typer(worker, name="worker")
app.add_typer(bench, name="bench")


def _print_versions(asked: bool) -> None:
    if asked:
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
            help="Print the versions of sdloop and of what it stands on.",
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", envvar="SDLOOP_DEBUG", hidden=True)] = False,
) -> None:
    """Pictures from text, with a sampling loop that one can read in one sitting.

    [bold]Example:[/bold] sdloop txt2img "two green frogs on stilts" --seed 4
    """


def main() -> None:
    """Run the command line of this process."""
    # A polite kill ends like Ctrl-C: temporary files are removed, finished pictures are told.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # Whoever reads our output shall not need to know the locale; and a file name need not be text.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8", errors="surrogateescape")
    _command()(prog_name="sdloop")


@lru_cache
def _command() -> Any:
    """The command line, built once: a worker runs it for each call."""
    return typer.main.get_command(app)
