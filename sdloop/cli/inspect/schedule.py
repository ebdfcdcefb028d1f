"""``sdloop inspect schedule``: the noise levels of schedulers, as tables, JSON and curves."""

from sdloop.cli.options.groups import with_options
from sdloop.cli.options.schedule import PlotOptions, ScheduleOptions


@with_options
def schedule(*, wanted: ScheduleOptions, plot: PlotOptions) -> None:
    """Print or draw the noise level of each step.

    For each step: the timestep, sigma and the signal-to-noise ratio.

    Examples:
      sdloop inspect schedule --scheduler euler --sigmas karras --steps 15
      sdloop inspect schedule --compare "ddim,heun,euler karras" --steps 15 -o schedules.svg
      sdloop inspect schedule --betas linear,scaled-linear,cosine -o betas.png --dark
      sdloop inspect schedule --steps 8 --add-noise photo.png -o noised.png
    """
    from sdloop.cli.inspect.figures.schedule import show_schedules

    show_schedules(wanted, plot)
