"""Which texts the text encoders read for a picture, and from which step: the prompts, parsed."""

from collections.abc import Iterator
from dataclasses import dataclass

from sdloop.prompt.compose import parts
from sdloop.prompt.schedule import Alternatives, alternatives
from sdloop.recipe.check import PROMPTS
from sdloop.recipe.limits import USUAL_STEPS
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_regions import regions_of


@dataclass(frozen=True, kw_only=True, slots=True)
class TextInput:
    """One input of the text encoders: a text and how to encode it.

    ``text_2`` is for SDXL's second encoder, which otherwise gets the same text. ``clip_skip`` and
    ``emphasis`` are the Recipe's.
    """

    text: str
    text_2: str | None = None
    clip_skip: int = 1
    emphasis: str = "a1111"


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """All texts for one picture at one step.

    ``prompts`` are those whose predictions are combined (AND), then those of the regions; each
    consists of the texts that are mixed into it. ``negative`` is ``None`` if there is no negative
    prompt.
    """

    prompts: tuple[tuple[TextInput, ...], ...]
    negative: TextInput | None


def readings(recipe: Recipe) -> Iterator[tuple[int, Reading]]:
    """The texts, each with the step from which they are used; the first is step 0.

    As in A1111, steps count from the first that is run, but shares refer to all ``steps``, also in
    img2img: at strength 0.5, a switch after half of the steps never happens.
    """
    texts = {text: _changes(recipe, text) for text in _texts(recipe)}
    firsts = {0} | {last for change in texts.values() for last, _ in change}
    before: Reading | None = None
    for first in sorted(firsts - {_steps(recipe)}):
        now = {text: _at(change, first + 1) for text, change in texts.items()}
        reading = _reading(recipe, now)
        if reading != before:
            yield first, reading
        before = reading


def weights_of(recipe: Recipe) -> tuple[float, ...] | None:
    """The weights of the combined predictions; ``None`` for a single prompt."""
    found = _parts(recipe)
    return tuple(weight for _, weight in found) if len(found) > 1 else None


def _parts(recipe: Recipe) -> tuple[tuple[str, float], ...]:
    return ((recipe.prompt, 1.0),) if recipe.emphasis == "none" else parts(recipe.prompt)


def _texts(recipe: Recipe) -> list[str]:
    """Every text of the Recipe that may change during the steps."""
    others = (getattr(recipe, name) for name in PROMPTS if name != "prompt")
    texts = [text for text, _ in _parts(recipe)]
    texts += (*(recipe.mix_prompts or ()), *(one.prompt for one, _ in regions_of(recipe)))
    return [*texts, *(text for text in others if text is not None)]


def _changes(recipe: Recipe, text: str) -> Alternatives:
    steps = _steps(recipe)
    return ((steps, text),) if recipe.emphasis == "none" else alternatives(text, steps)


def _steps(recipe: Recipe) -> int:
    """The number of steps; that of most models, if the Recipe leaves it to the model."""
    return USUAL_STEPS if recipe.steps is None else recipe.steps


def _at(change: Alternatives, step: int) -> str:
    return next(text for last, text in change if step <= last)


def _reading(recipe: Recipe, now: dict[str, str]) -> Reading:
    """The reading for the current value of each text; ``now`` maps the Recipe's texts to them."""

    def positive(text: str, text_2: str | None = recipe.prompt_2) -> TextInput:
        return TextInput(
            text=now[text],
            text_2=None if text_2 is None else now[text_2],
            clip_skip=recipe.clip_skip,
            emphasis=recipe.emphasis,
        )

    mixed = tuple(positive(text) for text in recipe.mix_prompts or ())
    prompts = tuple((positive(text), *mixed) for text, _ in _parts(recipe))
    prompts += tuple((positive(one.prompt, None),) for one, _ in regions_of(recipe))
    if recipe.negative_prompt is None:
        return Reading(prompts=prompts, negative=None)
    second = recipe.negative_prompt_2
    negative = TextInput(
        text=now[recipe.negative_prompt],
        text_2=None if second is None else now[second],
        emphasis=recipe.emphasis,
    )
    return Reading(prompts=prompts, negative=negative)
