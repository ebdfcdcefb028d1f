"""The flags of ``sdloop inspect schedule``."""

from sdloop.cli.options.fields import flag, options, own


@options(panel="Schedule")
class ScheduleOptions:
    """Which schedules."""

    scheduler: str | None = flag("scheduler", panel="Schedule")
    sigmas: str | None = flag("sigmas", panel="Schedule")
    timestep_spacing: str | None = flag("timestep_spacing", panel="Schedule")
    steps: int | None = flag("steps", panel="Schedule")
    timesteps: str | None = flag("timesteps")
    sigmas_list: str | None = flag("sigmas_list")
    learning_rate: float | None = flag("learning_rate")
    weight_decay: float | None = flag("weight_decay")
    stop_noise: float | None = flag("stop_noise")
    compare: str | None = own(
        'Other schedulers to compare with. Names with commas, as in "ddim,heun,euler '
        'karras"; a name may end with its sigmas.',
        metavar="NAMES",
    )
    betas: str | None = own(
        "Compare training schedules instead: linear,scaled-linear,cosine.", metavar="NAMES"
    )
    model: str | None = own(
        "Model whose schedule is shown.",
        "--model",
        "-m",
        panel="Model",
        metavar="MODEL",
        choices=("mini",),
    )
    revision: str | None = flag("revision")
    variant: str | None = flag("variant")


@options(panel="Output")
class PlotOptions:
    """How to show them."""

    output: str | None = own(
        "Also draw curves, to a .png, .svg or .pdf file.", "-o", metavar="FILE"
    )
    add_noise: str | None = own(
        "Draw this picture with the noise of each step. It replaces the curves and needs a "
        ".png file.",
        metavar="IMAGE",
    )
    dark: bool = own("Draw light curves on a dark background.")
    overwrite: bool = own("Overwrite an existing file.")
    json: bool = own("Print one line of JSON per schedule.")
