"""``sdloop inspect``: look inside the loop, one file per subcommand."""

from sdloop.cli.terminal.commands import App, LazyGroup


class _Inspections(LazyGroup):
    package = "sdloop.cli.inspect"
    sections = {  # noqa: RUF012
        "Commands": {
            "steps": "Show how a picture develops, step by step.",
            "prompt": "Show what the text encoder makes of each token, and where it acts.",
            "latents": "Send a picture through the VAE and back, and show what is lost.",
            "schedule": "Print or draw the noise level of each step.",
            "control": "Show what --preprocess makes of a picture, for ControlNets.",
            "mask": "Show which part of a picture a mask by words paints.",
            "noise": "Show one seed at different numbers of steps and guidance scales.",
        }
    }


inspect = App(cls=_Inspections, no_args_is_help=True)


@inspect.callback()
def _inspect() -> None:
    """Look inside the model and the sampling loop."""
