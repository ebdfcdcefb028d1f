"""Read settings in one JSON object: SwarmUI, Fooocus, Draw Things, NovelAI, Easy Diffusion.

Sources: ``GenMetadata`` of mcmonkeyprojects/SwarmUI, ``T2IParamInput.cs``, whose samplers are
ComfyUI's; ``FooocusMetadataParser`` in ``modules/meta_parser.py`` of lllyasviel/Fooocus; the XMP
comments of Draw Things' files; and the "Comment" texts of NovelAI's files. Sizes and seeds may be
strings.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from sdloop.metadata.foreign.comfyui import sampler_items
from sdloop.metadata.foreign.easydiffusion import easy_diffusion
from sdloop.metadata.foreign.value import (
    Foreign,
    Item,
    Source,
    call,
    gathered,
    mapping,
    noise,
    number,
    sampler,
    seed_items,
    texts,
    weighed,
    whole,
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Program:
    """A program's names for Recipe fields; ``quiet`` are items that do not change the picture."""

    source: Source
    name: str
    fields: Mapping[str, str]
    quiet: frozenset[str] = frozenset()
    said: tuple[str, ...] = field(default_factory=tuple)


_SAME = {name: name for name in ("prompt", "seed", "steps", "width", "height", "sampler")}
_SWARM = _Program(
    source="swarmui",
    name="SwarmUI",
    fields=_SAME
    | {"negative_prompt": "negativeprompt", "guidance_scale": "cfgscale", "spacing": "scheduler"}
    | {"layer": "clipstopatlayer", "names": "loras", "weights": "loraweights", "model": "model"},
    quiet=frozenset(
        {
            *("images", "aspectratio", "automaticvae", "swarm_version", "nopreviews", "date"),
            *("generation_time", "prep_time", "imageformat", "original_prompt", "wildcardseed"),
            *("original_negativeprompt", "used_wildcards", "personalnote"),
        }
    ),
)
_FOOOCUS = _Program(
    source="fooocus",
    name="Fooocus",
    fields=_SAME
    | {"negative_prompt": "negative_prompt", "guidance_scale": "guidance_scale"}
    | {"spacing": "scheduler", "size": "resolution", "clip_skip": "clip_skip", "names": "loras"}
    | {"model": "base_model"},
    quiet=frozenset(
        {
            *("base_model_hash", "full_prompt", "full_negative_prompt", "metadata_scheme"),
            *("version", "performance", "created_by"),
        }
    ),
)
_DRAW_THINGS = _Program(
    source="drawthings",
    name="Draw Things",
    fields=_SAME
    | {"prompt": "c", "negative_prompt": "uc", "guidance_scale": "scale", "size": "size"}
    | {"names": "lora", "model": "model"},
    quiet=frozenset({"v2", "profile"}),
    said=(f"noise: {noise('Draw Things')}",),
)
_NOVELAI = _Program(
    source="novelai",
    name="NovelAI",
    fields=_SAME | {"negative_prompt": "uc", "guidance_scale": "scale"},
    quiet=frozenset({"signed_hash", "request_type"}),
    said=(f"noise: {noise('NovelAI')}",),
)
_EASY_DIFFUSION = _Program(
    source="easydiffusion",
    name="Easy Diffusion",
    fields=_SAME
    | {"negative_prompt": "negative_prompt", "guidance_scale": "guidance_scale"}
    | {"sampler": "sampler_name", "spacing": "scheduler_name", "steps": "num_inference_steps"}
    | {"names": "use_lora_model", "weights": "lora_alpha", "clip_skip": "clip_skip"}
    | {"model": "use_stable_diffusion_model"},
    said=(f"noise: {noise('Easy Diffusion')}",),
)


def read_flat(values: Mapping[str, Any]) -> Foreign | None:
    """Read the settings of one of these programs from a JSON object; None if it is another one."""
    if isinstance(values.get("sui_image_params"), Mapping):
        return _read(_SWARM, values["sui_image_params"])
    easy = easy_diffusion(values)
    if easy is not None:
        return _read(_EASY_DIFFUSION, easy)
    version = str(values.get("version"))
    if values.get("metadata_scheme") == "fooocus" or version.startswith("Fooocus"):
        return _read(_FOOOCUS, values)
    if "c" in values and ("uc" in values or "scale" in values):
        return _read(_DRAW_THINGS, values)
    if "prompt" in values and "uc" in values and "scale" in values:
        return _read(_NOVELAI, values)
    return None


def _read(program: _Program, values: Mapping[str, Any]) -> Foreign:
    settings, left_out = gathered(_items(program, values))
    model = values.get(program.fields.get("model", ""))
    return Foreign(
        source=program.source,
        settings=settings,
        fields=texts(values),
        left_out=tuple(left_out),
        model=model if isinstance(model, str) else None,
    )


def _items(program: _Program, values: Mapping[str, Any]) -> Iterator[Item]:
    names = program.fields
    found = {ours: values[theirs] for ours, theirs in names.items() if values.get(theirs)}
    loras = list(_loras(found.get("names"), found.get("weights")))
    yield from _prompts(program, found, loras)
    yield from (item for item in loras if item[1] is None)
    if "seed" in found or values.get("seed") == 0:
        yield from seed_items(values["seed"], same_noise=not program.said)
    for name in ("steps", "width", "height", "clip_skip"):
        if name in found:
            yield f"{names[name]}: {found[name]}", {name: whole(found[name])}
    if "guidance_scale" in found:
        scale = found["guidance_scale"]
        yield f"{names['guidance_scale']}: {scale}", {"guidance_scale": number(scale)}
    if "size" in found:
        yield _size(found["size"])
    yield from _sampling(found)
    if "layer" in found:
        layer = whole(found["layer"])
        skip = -layer if isinstance(layer, int) else None
        yield f"{names['layer']}: {layer}", {"clip_skip": skip}
    for key, text in texts(values).items():
        quiet = key in names.values() or key in program.quiet
        if not quiet and text not in ("False", "0", "0.0", "[]", "None"):
            yield f"{key}: {text}", None
    yield from ((said, None) for said in program.said)


def _prompts(program: _Program, found: Mapping[str, Any], loras: list[Item]) -> Iterator[Item]:
    """Both prompts, with the LoRAs as A1111 tags in the prompt."""
    calls = "".join(one["call"] for _, one in loras if one is not None)
    for name, added in (("prompt", calls), ("negative_prompt", "")):
        text = found.get(name)
        if text is None:
            continue
        yield f"{name}: {text}", {name: text + added} if isinstance(text, str) else None
        if isinstance(text, str):
            yield from weighed(name, text, program.name)
            for tag in re.findall(r"<(?!lora:)\w+(?:\[[^\]]*\])?[:>]", text):
                yield f"{name}: {program.name}'s tag {tag}… is plain text in sdloop", None


def _loras(names: Any, weights: Any) -> Iterator[Item]:
    """LoRAs: as names with a separate list of weights, as pairs, or as objects."""
    names = names.split(",") if isinstance(names, str) else names
    names = names if isinstance(names, list) else []
    beside = weights if isinstance(weights, list) else []
    for at, one in enumerate(names):
        name, weight = one, beside[at] if at < len(beside) else 1
        if isinstance(one, list) and len(one) >= 2:
            name, weight = one[0], one[1]
        elif isinstance(one, Mapping):
            name, weight = mapping(one).get("model"), mapping(one).get("weight", 1)
        yield call(name, weight)


def _size(size: Any) -> Item:
    """Parse a size like "512x768" or "(512, 768)"."""
    sides = [int(side) for side in re.findall(r"\d{1,6}", str(size), re.ASCII)]
    found = dict(zip(("width", "height"), sides, strict=True)) if len(sides) == 2 else None
    return f"size: {size}", found


def _sampling(found: Mapping[str, Any]) -> Iterator[Item]:
    if "sampler" in found and "spacing" in found:
        yield from sampler_items(str(found["sampler"]), str(found["spacing"]), "sampler")
    elif "sampler" in found:
        yield f"sampler: {found['sampler']}", sampler(str(found["sampler"]))
    elif "spacing" in found:
        yield f"scheduler: {found['spacing']}", None
