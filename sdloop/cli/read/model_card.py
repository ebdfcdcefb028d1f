"""The facts about a model, as JSON values and as text."""

import dataclasses
import itertools
import re
import shlex
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdloop.cli.terminal.columns import columns, entry, safe
from sdloop.cli.user_settings import standing_settings

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint

_WIDTH = 66  # of lists of words: with the name before them, they fit into 80 columns
_SEED = 4  # in example commands, so that everybody gets the same pictures


@dataclass(frozen=True, slots=True)
class ModelName:
    """A model's names, as in a Recipe; ``str()`` gives the text to type after ``--model``."""

    model: str
    revision: str | None = None
    variant: str | None = None
    vae: str | None = None
    unet: str | None = None

    def __str__(self) -> str:
        named = dataclasses.asdict(self)
        flags = ((f"--{n}", text) for n, text in named.items() if n != "model" and text is not None)
        return shlex.join([self.model, *itertools.chain.from_iterable(flags)])


def summary(checkpoint: "Checkpoint") -> dict[str, Any]:
    """The main facts, for the list of models."""
    from sdloop.models.checkpoint.parts import bytes_on_disk

    return {
        "model": checkpoint.name,
        "revision": checkpoint.revision,
        "variant": checkpoint.variant,
        "path": str(checkpoint.path),
        "family": checkpoint.family,
        "paints": checkpoint.paints,
        "sees_depth": checkpoint.sees_depth,
        "edits": checkpoint.edits,
        "native_size": checkpoint.native_size,
        "prediction_type": checkpoint.prediction_type,
        "bytes": bytes_on_disk(checkpoint),
    }


def full_facts(checkpoint: "Checkpoint", *, hashes: bool) -> dict[str, Any]:
    """All facts from the model's files; with ``hashes`` also their sha256, as in pictures."""
    from sdloop.models.checkpoint.hashes import model_hashes
    from sdloop.models.checkpoint.parts import parts_of
    from sdloop.schedulers.names import name_of

    config, few_steps = checkpoint.scheduler_config, checkpoint.advice.few_steps
    return {
        **summary(checkpoint),
        "size_multiple": checkpoint.size_multiple,
        "steps": checkpoint.steps,
        "guidance_scale": checkpoint.guidance_scale,
        "few_steps": few_steps and dataclasses.asdict(few_steps),
        "scheduler": name_of(config) or config["_class_name"],
        "max_tokens": checkpoint.max_tokens,
        "text_encoders": _text_encoders(checkpoint),
        "parts": [dataclasses.asdict(part) for part in parts_of(checkpoint)],
        "vocabulary": checkpoint.advice.vocabulary,
        "prompts": checkpoint.advice.prompts,
    } | ({"weights": model_hashes(checkpoint)} if hashes else {})


def _text_encoders(checkpoint: "Checkpoint") -> list[dict[str, Any]]:
    from sdloop.models.checkpoint.families import CLASSES

    return [
        {
            "class": CLASSES[part][0],
            "layers": config.get("num_hidden_layers", 12),
            "width": config.get("hidden_size", 512),
        }
        for part, config in checkpoint.configs.items()
        if part.startswith("text_encoder")
    ]


def card(facts: Mapping[str, Any], name: ModelName) -> Iterator[str]:
    """The facts as lines of text: the model, the words it knows, and example commands."""
    yield safe(str(name))
    yield from _aligned(dict(_entries(facts)))
    if facts["vocabulary"]:
        yield "\n  Known words:"
        yield from _aligned({kind: _list(words) for kind, words in facts["vocabulary"].items()})
    if facts["prompts"]:
        yield "\n  Examples:"
    model = "" if name == _standing() else f" --model {name}"
    for prompt in facts["prompts"]:
        yield safe(f"  sdloop txt2img {_quoted(prompt)}{model} --seed {_SEED}")


def _aligned(facts_by_name: Mapping[str, str]) -> Iterator[str]:
    width = max(map(len, facts_by_name))
    for name, text in facts_by_name.items():
        yield from entry(name, text, width)


def _list(words: Sequence[str]) -> str:
    """Words in wrapped lines; "in a park" is not broken."""
    unbroken = ", ".join(word.replace(" ", "\xa0") for word in words)
    return textwrap.fill(unbroken, _WIDTH).replace("\xa0", " ")


def _entries(facts: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    if facts["revision"] is not None:
        yield "revision", facts["revision"]
    yield "family", family_text(facts)
    multiple = facts["size_multiple"]
    yield "native_size", f"{size_text(facts['native_size'])}; sides are multiples of {multiple}"
    if facts["few_steps"] is not None:
        yield "steps", "{steps}; it is {few_steps[kind]}: {few_steps[why]}".format(**facts)
    yield "guidance_scale", f"{facts['guidance_scale']:g}"
    yield "scheduler", facts["scheduler"]
    yield "prediction_type", facts["prediction_type"]
    texts = (
        "{class}, {layers} layers of width {width}".format(**text)
        for text in facts["text_encoders"]
    )
    yield "text_encoders", "\n".join(texts)
    yield "max_tokens", f"{facts['max_tokens']}, including start and end"
    yield "parts", "\n".join(columns([_part_cells(part) for part in facts["parts"]]))
    if "weights" in facts:
        rows = [(name, sha256[:10]) for name, sha256 in facts["weights"].items()]
        yield "weights", "\n".join(columns(rows))


def _part_cells(part: Mapping[str, Any]) -> tuple[str, ...]:
    size = "" if part["bytes"] is None else bytes_text(part["bytes"])
    return part["name"], f"{part['parameters'] / 1e6:.1f} M", "+".join(part["dtypes"]), size


def family_text(facts: Mapping[str, Any]) -> str:
    kinds = {"paints": "inpainting", "sees_depth": "depth", "edits": "InstructPix2Pix"}
    return " ".join([facts["family"], *(kind for key, kind in kinds.items() if facts[key])])


def size_text(size: tuple[int, int]) -> str:
    return f"{size[0]}x{size[1]}"


def bytes_text(count: int) -> str:
    """
    >>> bytes_text(11_236_592), bytes_text(6_938_040_682)
    ('11.2 MB', '6.9 GB')
    """
    return f"{count / 1e6:.1f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _standing() -> ModelName:
    """The default model, from the user's settings file or else the embedded one."""
    settings = standing_settings(None).recipe
    names = (field.name for field in dataclasses.fields(ModelName))
    return ModelName(**{"model": "mini"} | {n: settings[n] for n in names if n in settings})


def _quoted(prompt: str) -> str:
    """The prompt in quotes for any shell; with special characters, for POSIX shells only."""
    return shlex.quote(prompt) if re.search(r'["$`\\!%]', prompt) else f'"{prompt}"'
