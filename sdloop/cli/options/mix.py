"""The flags of ``sdloop mix``, and the weights that they give."""

from collections.abc import Sequence
from typing import Annotated

from sdloop.cli.options.fields import flag, options, own
from sdloop.cli.options.groups import argument
from sdloop.errors import SettingError
from sdloop.recipe.mixture import PLACES, along, words_of
from sdloop.recipe.parse import parse_number
from sdloop.rules import check_choice, check_number, check_whole

PromptsArgument = Annotated[
    list[str] | None,
    argument(
        "PROMPT",
        'Prompts to mix. With --at token: one prompt such as "a picture of a {puppy|skunk}".',
    ),
]


@options(panel="Mixture")
class MixOptions:
    """How much of each prompt to mix, where to mix, and strips and walks between prompts."""

    weight: float | None = own(
        "Weight of the second of two prompts, 0 to 1. 0 is only the first, 1 only the "
        "second. Default: 0.5.",
        "-w",
        metavar="X",
    )
    weights: str | None = flag("mix_weights")
    at: str = own(
        "What to mix. embedding: the encoded prompts. token: the vectors of single words, "
        "before they are encoded. prediction: the UNet's predictions, with the weights as "
        "given. time: one prompt in the first steps, the next prompt in later steps.",
        choices=PLACES,
        default="embedding",
    )
    slerp: bool = flag("slerp")
    slider: int | None = own(
        "Make N pictures from first to last prompt. A strip shows all of them.",
        metavar="N",
    )
    walk: int | None = own(
        "Make an animation of N frames. It goes from the first prompt to the last, and from"
        " the first seed to the last.",
        metavar="N",
    )
    fps: float | None = own("Frames per second of --walk. Default: 12.", metavar="X")


MAX_SLIDER = 100
MAX_FRAMES = 10_000


def ways(prompts: Sequence[str], options: MixOptions) -> list[list[float]]:
    """The weights of each picture, or of each frame of a walk.

    Raises ``SettingError`` for flags that contradict each other or would be ignored.
    """
    check_choice("at", options.at, PLACES)
    count = len(named(prompts, options))
    asked = [name for name in ("weight", "weights", "slider", "walk") if _given(options, name)]
    if len(asked) > 1:
        raise SettingError(f"{asked[0]} cannot be combined with {asked[1]}: remove one of them")
    if options.fps is not None:
        if options.walk is None:
            raise SettingError("fps needs --walk")
        check_number("fps", options.fps, 0.1, 100.0)
    if options.slider is not None:
        check_whole("slider", options.slider, 2, MAX_SLIDER)
        _check_several(count, "slider")
        if len(set(named(prompts, options))) == 1:
            raise SettingError(f"slider needs two different prompts, got only {prompts[0]!r}")
        return [along(count, place / (options.slider - 1)) for place in range(options.slider)]
    if options.walk is not None:
        check_whole("walk", options.walk, 2, MAX_FRAMES)
        return [along(count, place / (options.walk - 1)) for place in range(options.walk)]
    _check_several(count, "mix")
    return [_weights(count, options)]


def named(prompts: Sequence[str], options: MixOptions) -> Sequence[str]:
    """The texts to mix: the prompts, or with ``--at token`` the words in the prompt's slot."""
    return words_of(prompts) if options.at == "token" else prompts


def _given(options: MixOptions, name: str) -> bool:
    return getattr(options, name) is not None


def _check_several(count: int, what: str) -> None:
    if count < 2:
        raise SettingError(f"{what} needs at least two prompts, got {count}")


def _weights(count: int, options: MixOptions) -> list[float]:
    if options.weights is not None:
        return [parse_number("weights", part) for part in options.weights.split(",")]
    if options.weight is None:
        return [1.0] * count
    if count != 2:
        raise SettingError(f"weight needs two prompts, got {count}: use --weights")
    check_number("weight", options.weight, 0.0, 1.0)
    return [1 - options.weight, options.weight]
