"""The flags of ``sdloop inspect schedule``."""

from dataclasses import dataclass
from typing import Annotated

from sdloop.cli.options.fields import flag
from sdloop.cli.options.groups import option
from sdloop.cli.options.model import Revision, Variant


@dataclass(frozen=True, kw_only=True, slots=True)
class ScheduleOptions:
    """Which schedules."""

    scheduler: Annotated[str | None, flag("scheduler", panel="Schedule")] = None
    sigmas: Annotated[str | None, flag("sigmas", panel="Schedule")] = None
    timestep_spacing: Annotated[str | None, flag("timestep_spacing", panel="Schedule")] = None
    steps: Annotated[int | None, flag("steps", panel="Schedule")] = None
    timesteps: Annotated[str | None, flag("timesteps")] = None
    sigmas_list: Annotated[str | None, flag("sigmas_list")] = None
    learning_rate: Annotated[float | None, flag("learning_rate")] = None
    weight_decay: Annotated[float | None, flag("weight_decay")] = None
    stop_noise: Annotated[float | None, flag("stop_noise")] = None
    compare: Annotated[
        str | None,
        option(
            "Schedule",
            'Other schedulers to compare with. Names with commas, as in "ddim,heun,euler '
            'karras"; a name may end with its sigmas.',
            "--compare",
            metavar="NAMES",
        ),
    ] = None
    betas: Annotated[
        str | None,
        option(
            "Schedule",
            "Compare training schedules instead: linear,scaled-linear,cosine.",
            "--betas",
            metavar="NAMES",
        ),
    ] = None
    model: Annotated[
        str | None,
        option(
            "Model",
            "Model whose schedule is shown.",
            *("--model", "-m"),
            metavar="MODEL",
            choices=("mini",),
        ),
    ] = None
    revision: Revision = None
    variant: Variant = None


@dataclass(frozen=True, kw_only=True, slots=True)
class PlotOptions:
    """How to show them."""

    output: Annotated[
        str | None,
        option(
            "Output",
            "Also draw curves, to a .png, .svg or .pdf file.",
            *("--output", "-o"),
            metavar="FILE",
        ),
    ] = None
    add_noise: Annotated[
        str | None,
        option(
            "Output",
            "Draw this picture with the noise of each step. It replaces the curves and needs a "
            ".png file.",
            "--add-noise",
            metavar="IMAGE",
        ),
    ] = None
    dark: Annotated[bool, option("Output", "Draw light curves on a dark background.", "--dark")] = (
        False
    )
    overwrite: Annotated[bool, option("Output", "Overwrite an existing file.", "--overwrite")] = (
        False
    )
    json: Annotated[bool, option("Output", "Print one line of JSON per schedule.", "--json")] = (
        False
    )
