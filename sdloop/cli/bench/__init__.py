"""``sdloop bench``: measure this machine, one file per subcommand."""

from sdloop.cli.terminal.commands import App, LazyGroup


class _Benchmarks(LazyGroup):
    package = "sdloop.cli.bench"
    sections = {  # noqa: RUF012
        "Commands": {
            "loop": "Compare a shell loop with one batch, and a call to a warm worker with a cold "
            "start.",
            "speed": "Measure how fast a model makes pictures, and the share of the device.",
            "memory": "Predict how much GPU memory a model takes, with each --dtype and --memory.",
        }
    }


bench = App(cls=_Benchmarks, no_args_is_help=True)


@bench.callback()
def _bench() -> None:
    """Measure how fast sdloop runs on this machine."""
