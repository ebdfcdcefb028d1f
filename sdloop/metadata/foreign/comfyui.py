"""What ComfyUI writes: the graph that made the picture, as JSON in the PNG text "prompt".

::

    {"3": {"class_type": "KSampler", "inputs": {"seed": 4, "positive": ["6", 0], …}}, …}

An input is a value, or a link: a node's name and which of its outputs. Simple graphs are read, in
which one ``KSampler`` starts from an ``EmptyLatentImage`` with two ``CLIPTextEncode``.

Sources, of comfyanonymous/ComfyUI: ``SaveImage``, ``KSampler``, ``CLIPTextEncode``,
``EmptyLatentImage``, ``LoraLoader`` and ``CLIPSetLastLayer`` in ``nodes.py``; ``KSAMPLER_NAMES``
and the schedulers in ``comfy/samplers.py``; ``prepare_noise`` in ``comfy/sample.py``, whose noise
is that of torch's CPU generator, as ours.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.foreign.value import Foreign, Item, gathered, sampler, weighed
from sdloop.recipe.limits import MAX_SEED

# What the graph's other nodes may be, beside those that are read.
_PLAIN = ("SaveImage", "PreviewImage", "VAEDecode", "CheckpointLoaderSimple", "PrimitiveNode")
_READ = ("KSampler", "CLIPTextEncode", "EmptyLatentImage", "LoraLoader", "CLIPSetLastLayer")
_SPACED: Mapping[str, Mapping[str, str]] = {
    "normal": {"sigmas": "uniform", "timestep_spacing": "linspace"},
    "sgm_uniform": {"sigmas": "uniform", "timestep_spacing": "trailing"},
    "karras": {"sigmas": "karras"},
    "exponential": {"sigmas": "exponential"},
    "beta": {"sigmas": "beta"},
}

_Graph = Mapping[str, Mapping[str, Any]]


def is_graph(values: Mapping[str, Any]) -> bool:
    nodes = list(values.values())
    return bool(nodes) and all(isinstance(one, Mapping) and "class_type" in one for one in nodes)


def read_graph(graph: _Graph) -> Foreign:
    """The settings in a graph; of one that is not simple, what it is made of."""
    samplers = [node for node in graph.values() if "KSampler" in str(node["class_type"])]
    simple = len(samplers) == 1 and samplers[0]["class_type"] == "KSampler"
    items = _items(graph, samplers[0]) if simple else _not_simple(graph)
    settings, left_out = gathered(items)
    return Foreign(
        source="comfyui",
        settings=settings,
        fields=_fields(samplers[0]) if simple else {},
        left_out=tuple(left_out),
        model=_checkpoint(graph),
    )


def _not_simple(graph: _Graph) -> Iterator[Item]:
    nodes = ", ".join(sorted({str(node["class_type"]) for node in graph.values()}))
    yield f"the graph is not one with a single KSampler: {nodes}", None


def _fields(node: Mapping[str, Any]) -> dict[str, str]:
    return {k: str(v) for k, v in node.get("inputs", {}).items() if not isinstance(v, list)}


def _checkpoint(graph: _Graph) -> str | None:
    named = [node["inputs"].get("ckpt_name") for node in graph.values() if "inputs" in node]
    found = [str(name) for name in named if name is not None]
    return found[0] if len(found) == 1 else None


def _items(graph: _Graph, node: Mapping[str, Any]) -> Iterator[Item]:
    inputs = node["inputs"]
    yield from _texts(graph, inputs)
    yield from _size(graph, inputs)
    yield from _seed(inputs.get("seed"))
    yield f"steps: {inputs.get('steps')}", {"steps": inputs.get("steps")}
    yield f"cfg: {inputs.get('cfg')}", {"guidance_scale": inputs.get("cfg")}
    name, spacing = str(inputs.get("sampler_name")), str(inputs.get("scheduler"))
    found = sampler(name.removesuffix("_gpu"))
    yield f"sampler_name: {name}", found
    if found is not None and spacing in _SPACED and "sigmas" in found:
        yield f"scheduler: {spacing}", _SPACED[spacing]
    elif spacing != "normal":
        yield f"scheduler: {spacing}", None
    if inputs.get("denoise", 1) != 1:
        yield f"denoise: {inputs['denoise']}", None
    for one in graph.values():
        if one["class_type"] not in (*_PLAIN, *_READ):
            yield f"node {one['class_type']}", None


def _texts(graph: _Graph, inputs: Mapping[str, Any]) -> Iterator[Item]:
    """Both prompts, with the LoRAs in A1111's way of calling them, and the layer that is read."""
    calls = "".join(_calls(graph))
    prompt = _text(graph, inputs.get("positive"))
    if prompt is None:
        yield "positive: not one CLIPTextEncode", None
    else:
        yield f"positive: {prompt}", {"prompt": prompt + calls}
        yield from weighed("positive", prompt, "ComfyUI")
    negative = _text(graph, inputs.get("negative"))
    if negative is None:
        yield "negative: not one CLIPTextEncode", None
    elif negative:
        yield f"negative: {negative}", {"negative_prompt": negative}
        yield from weighed("negative", negative, "ComfyUI")
    for one in _of(graph, "CLIPSetLastLayer"):
        last = one.get("stop_at_clip_layer", -1)  # -1 is the last
        yield f"stop_at_clip_layer: {last}", {"clip_skip": -last}


def _text(graph: _Graph, link: Any) -> str | None:
    """The text of the ``CLIPTextEncode`` that is linked, or of the node that it is linked to."""
    node = _linked(graph, link)
    if node is None or node["class_type"] != "CLIPTextEncode":
        return None
    text = node["inputs"].get("text")
    source = _linked(graph, text)
    if source is not None:
        written = [value for value in source["inputs"].values() if isinstance(value, str)]
        text = written[0] if len(written) == 1 else None
    return text if isinstance(text, str) else None


def _linked(graph: _Graph, link: Any) -> Mapping[str, Any] | None:
    return graph.get(str(link[0])) if isinstance(link, list) and len(link) == 2 else None


def _of(graph: _Graph, kind: str) -> list[Mapping[str, Any]]:
    return [node["inputs"] for node in graph.values() if node["class_type"] == kind]


def _calls(graph: _Graph) -> Iterator[str]:
    for one in _of(graph, "LoraLoader"):
        name = str(one.get("lora_name", "")).removesuffix(".safetensors")
        yield f" <lora:{name}:{one.get('strength_model', 1):g}>"


def _size(graph: _Graph, inputs: Mapping[str, Any]) -> Iterator[Item]:
    node = _linked(graph, inputs.get("latent_image"))
    if node is None or node["class_type"] != "EmptyLatentImage":
        yield f"latent_image: {'none' if node is None else node['class_type']}", None
        return
    size = {name: node["inputs"].get(name) for name in ("width", "height")}
    yield f"size: {size['width']}x{size['height']}", size
    if node["inputs"].get("batch_size", 1) != 1:
        yield f"batch_size: {node['inputs']['batch_size']} (the first of them is made)", None


def _seed(seed: Any) -> Iterator[Item]:
    """Of 64 bits, of which torch's generator takes the lower half."""
    if isinstance(seed, int) and seed > MAX_SEED:
        yield "seed", {"seed": seed & MAX_SEED}
        yield (
            f"seed: {seed} (of which torch keeps 32 bits, {seed & MAX_SEED}: the same noise)",
            None,
        )
    else:
        yield f"seed: {seed}", {"seed": seed}
