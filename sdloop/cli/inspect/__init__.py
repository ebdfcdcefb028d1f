"""``sdloop inspect``: look inside the loop, one file per thing to look at."""

import typer

from sdloop.cli.inspect.latents import latents
from sdloop.cli.inspect.noise import noise
from sdloop.cli.inspect.prompt import prompt
from sdloop.cli.inspect.schedule import schedule
from sdloop.cli.inspect.steps import steps

inspect = typer.Typer(no_args_is_help=True, help="Look inside the loop.")
inspect.command()(steps)
inspect.command()(prompt)
inspect.command()(latents)
inspect.command()(schedule)
inspect.command()(noise)


@inspect.callback()
def _inspect() -> None:
    """Look inside the loop: what a scheduler, the VAE, a prompt and the steps really do."""
