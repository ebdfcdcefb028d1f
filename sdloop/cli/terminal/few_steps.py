"""What people are told on stderr about models, LoRAs and presets for a few steps."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sdloop.batch.planned import Planned
from sdloop.cli.terminal.columns import safe
from sdloop.cli.terminal.output import say
from sdloop.models.checkpoint.few_steps import published_stem, sounds_like
from sdloop.recipe.presets import PRESETS, from_preset, parse_preset
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.models.checkpoint.lora import LoraFile
    from sdloop.models.checkpoint.value import Checkpoint

_GUIDED = 3.0  # above it a model for a few steps makes burnt pictures; the cards say 0 to 2


def tell_presets(sources: Iterable[Mapping[str, Any]]) -> None:
    """Say what presets stand for; each of ``sources`` are settings, with a preset or without."""
    for line in dict.fromkeys(map(_preset, sources)):
        if line:
            say(line)


def _preset(given: Mapping[str, Any]) -> str:
    text = given.get("preset")
    if text is None:
        return ""
    others = {name: value for name, value in given.items() if name != "preset"}
    fields = from_preset(text, others)
    return f"preset {text} sets {_listed(fields)}" if fields else f"preset {text} sets nothing here"


def tell_few_steps(plan: Sequence[Planned]) -> None:
    """Say which models for a few steps were recognised, and hint at the presets of others."""
    for line in dict.fromkeys(line for planned in plan for line in _lines(planned)):
        say(line)


def _lines(planned: Planned) -> Iterator[str]:
    recipe, checkpoint = planned.recipe, planned.checkpoint
    if checkpoint.advice.few_steps is not None:
        yield from _recognised(recipe, checkpoint)
        return
    named = sounds_like([published_stem(checkpoint.name)])
    if named is not None and is_ordinary(recipe, named):
        yield (
            f"{safe(checkpoint.name)} sounds like a model for a few steps; if it is, add "
            f"--preset {named}"
        )
    for lora, file in zip(recipe.loras, planned.loras, strict=True):
        if file.preset is not None and lora.scale and is_ordinary(recipe, file.preset[0]):
            yield _of_lora(file)


def _recognised(recipe: Recipe, checkpoint: "Checkpoint") -> Iterator[str]:
    few_steps = checkpoint.advice.few_steps
    assert few_steps is not None
    chosen = {name: v for name, v in few_steps.fields.items() if getattr(recipe, name) == v}
    if checkpoint.embeds_guidance and recipe.guidance_scale == 1:
        usual = few_steps.fields["guidance_scale"]
        yield f"{safe(checkpoint.name)} has no guidance at guidance_scale 1; its own is {usual:g}"
    if chosen:
        yield f"{safe(checkpoint.name)} is {few_steps.kind}, as {few_steps.why}: {_listed(chosen)}"


def _of_lora(file: "LoraFile") -> str:
    assert file.preset is not None
    preset, how = file.preset
    # Hyper-SD has LoRAs of 8 steps without guidance, and others ("CFG") for a guidance of 5 to 8.
    guided = " -g 5" if preset == "hyper:8" and "cfg" in file.name.lower() else ""
    is_one = "is" if how == "hash" else "seems to be"
    return (
        f"{safe(file.name)} {is_one} a LoRA for a few steps, by its {how}: "
        f"add --preset {preset}{guided}"
    )


def is_ordinary(recipe: Recipe, preset: str) -> bool:
    """Whether the steps or the guidance of a resolved Recipe are far from a preset's."""
    name = parse_preset(preset)[0]
    most = max(PRESETS[name].rows)
    guided = name != "hyper" and (recipe.guidance_scale or 0) > _GUIDED
    return recipe.steps > 2 * most or guided


def _listed(fields: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in fields.items())


def _short(value: Any) -> str:
    if isinstance(value, tuple):
        return ",".join(map(_short, value))
    return f"{value:g}" if isinstance(value, float) else str(value)
