"""Read InvokeAI's metadata: JSON in the PNG text "invokeai_metadata" (before 3.0 "sd-metadata").

Sources, all of invoke-ai/InvokeAI: ``CoreMetadataInvocation`` in
``invokeai/app/invocations/metadata.py`` for the current names; ``save`` of
``image_files_disk.py`` for the text's keyword; ``SCHEDULER_MAP`` in
``backend/stable_diffusion/schedulers`` for the schedulers, where "_k" means Karras sigmas; and
``metadata_dumps`` in ``ldm/invoke/args.py`` for the older text. There the prompt is a list of parts
with weights, and the text in square brackets is the negative prompt.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.foreign.value import (
    Foreign,
    Item,
    call,
    gathered,
    mapping,
    noise,
    sampler,
    seed_items,
    texts,
    weighed,
)

_TAKEN = frozenset(
    {
        *("positive_prompt", "negative_prompt", "positive_style_prompt", "negative_style_prompt"),
        *("width", "height", "seed", "steps", "cfg_scale", "cfg_rescale_multiplier", "scheduler"),
        *("clip_skip", "loras", "model", "rand_device", "generation_mode", "app_version"),
        *("ref_images", "canvas_v2_metadata"),
    }
)
_TAKEN_OLD = frozenset(
    {"type", "prompt", "seed", "steps", "cfg_scale", "sampler", "width", "height"}
)
_SAME = ("steps", "width", "height")


def read_invokeai(values: Mapping[str, Any]) -> Foreign:
    """Read the settings in "invokeai_metadata"."""
    settings, left_out = gathered(_items(values))
    return Foreign(
        source="invokeai",
        settings=settings,
        fields=texts(values),
        left_out=tuple(left_out),
        model=_name(values.get("model")),
    )


def _items(values: Mapping[str, Any]) -> Iterator[Item]:
    yield from _prompts(values)
    for name in _SAME:
        if values.get(name) is not None:
            yield f"{name}: {values[name]}", {name: values[name]}
    if values.get("seed") is not None:
        yield from seed_items(values["seed"])
    if values.get("cfg_scale") is not None:
        yield f"cfg_scale: {values['cfg_scale']}", {"guidance_scale": values["cfg_scale"]}
    if values.get("cfg_rescale_multiplier"):
        rescale = values["cfg_rescale_multiplier"]
        yield f"cfg_rescale_multiplier: {rescale}", {"guidance_rescale": rescale}
    if values.get("scheduler") is not None:
        name = str(values["scheduler"])
        karras = name.endswith("_k")
        yield f"scheduler: {name}", sampler(name.removesuffix("_k"), karras=karras)
    if isinstance(values.get("clip_skip"), int):  # InvokeAI counts the skipped layers
        yield f"clip_skip: {values['clip_skip']}", {"clip_skip": values["clip_skip"] + 1}
    mode = str(values.get("generation_mode", "txt2img"))
    if not mode.endswith("txt2img"):
        yield f"generation_mode: {mode}", None
    for key, text in texts(values).items():
        if key not in _TAKEN and text not in ("False", "0", "0.0"):
            yield f"{key}: {text}", None
    if values.get("rand_device", "cpu") != "cpu":
        yield f"rand_device: {noise(str(values['rand_device']))}", None


def _prompts(values: Mapping[str, Any]) -> Iterator[Item]:
    """Both prompts, with the LoRAs as A1111 tags in the prompt; brackets are plain text."""
    prompt = values.get("positive_prompt")
    prompt = prompt if isinstance(prompt, str) else ""
    loras = list(_loras(values.get("loras")))
    calls = "".join(found["call"] for _, found in loras if found is not None)
    yield from (item for item in loras if item[1] is None)
    yield f"positive_prompt: {prompt}", {"prompt": prompt + calls, "emphasis": "none"}
    yield from weighed("positive_prompt", prompt, "InvokeAI")
    for name, field in (
        ("negative_prompt", "negative_prompt"),
        ("positive_style_prompt", "prompt_2"),
        ("negative_style_prompt", "negative_prompt_2"),
    ):
        if values.get(name):
            yield f"{name}: {values[name]}", {field: values[name]}


def _loras(loras: Any) -> Iterator[Item]:
    for one in loras if isinstance(loras, list) else [loras] if loras else []:
        values = mapping(one)
        name = _name(values.get("model", values.get("lora")))
        if name is None:
            yield f"loras: {one}", None
        else:
            yield call(name, values.get("weight", 1))


def _name(model: Any) -> str | None:
    """The name of a model: "name" in its record, "model_name" in 3.x, or the text itself."""
    if isinstance(model, Mapping):
        model = model.get("name", model.get("model_name"))
    return None if model is None else str(model)


def read_sd_metadata(values: Mapping[str, Any]) -> Foreign:
    """Read the settings in "sd-metadata"."""
    image = mapping(values.get("image"))
    settings, left_out = gathered(_old_items(image))
    return Foreign(
        source="invokeai",
        settings=settings,
        fields=texts({**{k: v for k, v in values.items() if k != "image"}, **image}),
        left_out=tuple(left_out),
        model=_name(values.get("model_weights", values.get("model_id"))),
    )


def _old_items(image: Mapping[str, Any]) -> Iterator[Item]:
    prompt, negative = _old_prompt(image.get("prompt", ""))
    yield f"prompt: {prompt}", {"prompt": prompt, "emphasis": "none"}
    yield from weighed("prompt", prompt, "InvokeAI")
    for name in _SAME:
        if image.get(name) is not None:
            yield f"{name}: {image[name]}", {name: image[name]}
    if image.get("seed") is not None:
        yield from seed_items(image["seed"])
    if image.get("cfg_scale") is not None:
        yield f"cfg_scale: {image['cfg_scale']}", {"guidance_scale": image["cfg_scale"]}
    if negative:
        yield f"prompt: [{negative}]", {"negative_prompt": negative}
    if image.get("sampler") is not None:
        yield f"sampler: {image['sampler']}", sampler(str(image["sampler"]))
    if image.get("type", "txt2img") != "txt2img":
        yield f"type: {image['type']}", None
    for key, text in texts(image).items():
        if key not in _TAKEN_OLD and text not in ("False", "0", "0.0"):
            yield f"{key}: {text}", None
    yield f"noise: {noise('from the device of the model')}", None


def _old_prompt(prompt: Any) -> tuple[str, str]:
    """The texts outside and inside square brackets; the parts of a list are joined."""
    if isinstance(prompt, list):
        prompt = " ".join(
            part if isinstance(part, str) else str(mapping(part).get("prompt", ""))
            for part in prompt
        )
    negative = " ".join(re.findall(r"\[(.*?)\]", str(prompt)))
    return " ".join(re.sub(r"\[.*?\]", " ", str(prompt)).split()), negative
