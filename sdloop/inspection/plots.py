"""Plot schedules as curves. matplotlib is an extra, imported only when a plot is made."""

import io
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdloop.errors import SettingError
from sdloop.inspection.schedules import NoiseSchedule

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# The colours of Okabe & Ito, which colour-blind people can tell apart. Black and yellow are left
# out, because they cannot be seen on a black or a white background.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_MARKERS = "osD^vP"


def plot_levels(curves: Sequence[NoiseSchedule], *, dark: bool = False) -> "Figure":
    """Plot each schedule twice: sigma during the run, and signal to noise at each timestep.

    Levels without noise or without signal are left out: they are infinite on a log scale.
    """
    matplotlib = _matplotlib()
    style = matplotlib.style.library["dark_background"] if dark else {}
    with matplotlib.rc_context({**style, "font.size": 9}):
        from matplotlib.figure import Figure

        figure = Figure(figsize=(9, 3.6), layout="constrained")
        left, right = figure.subplots(1, 2)
        for number, curve in enumerate(curves):
            _draw(curve, left, right, _look(number, len(curve.noise_levels)))
        left.set(xlabel="share of the run", ylabel="sigma (noise over signal)", yscale="log")
        right.set(xlabel="timestep", ylabel="signal to noise, in dB")
        right.invert_xaxis()  # the loop runs from high timesteps to low ones
        right.legend(frameon=False)
        for one in (left, right):
            one.grid(alpha=0.25)
            one.spines[["top", "right"]].set_visible(False)
    return figure


def _draw(curve: NoiseSchedule, left: Any, right: Any, look: Mapping[str, Any]) -> None:
    levels = [level for level in curve.noise_levels if 0 < level.sigma < math.inf]
    last = max(1, len(curve.noise_levels) - 1)
    left.plot([one.step / last for one in levels], [one.sigma for one in levels], **look)
    times, decibels = [one.timestep for one in levels], [one.decibels for one in levels]
    right.plot(times, decibels, label=curve.name, **look)


def _look(number: int, points: int) -> dict[str, Any]:
    """A colour for each curve, and a hollow marker if the points are not too dense for it."""
    return {
        "color": _COLOURS[number % len(_COLOURS)],
        "marker": _MARKERS[number % len(_MARKERS)] if points <= 60 else "",
        "markersize": 9 - 1.2 * (number % len(_MARKERS)),
        "markerfacecolor": "none",
        "linewidth": 1.2,
    }


def _matplotlib() -> Any:
    try:
        import matplotlib
        import matplotlib.style
    except ImportError as error:
        raise SettingError("a plot needs matplotlib: pip install 'sdloop[plots]'") from error
    return matplotlib


def figure_bytes(figure: "Figure", path: Path) -> bytes:
    """Encode a figure in the format given by the suffix of ``path``: png, svg or pdf.

    The same figure always gives the same bytes: they contain no date.
    """
    kind = path.suffix.lower().removeprefix(".")
    dates: dict[str, dict[str, Any]] = {
        "png": {},
        "svg": {"Date": None},
        "pdf": {"CreationDate": None},
    }
    if kind not in dates:
        raise SettingError(f"output must end in .png, .svg or .pdf for a plot, got {path.name!r}")
    file = io.BytesIO()
    with _matplotlib().rc_context({"svg.hashsalt": "sdloop"}):  # fixed ids in the SVG
        figure.savefig(file, format=kind, dpi=160, metadata=dates[kind])
    return file.getvalue()
