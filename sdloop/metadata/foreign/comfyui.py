"""Read ComfyUI's metadata: the graph of the picture, as JSON in the PNG text "prompt".

::

    {"3": {"class_type": "KSampler", "inputs": {"seed": 4, "positive": ["6", 0], …}}, …}

An input is a value, or a link: the name of a node and the number of its output. Only simple graphs
are read: those with one ``KSampler`` or ``KSamplerAdvanced``, which starts from an empty latent or
a picture, with one prompt and one negative prompt. Only nodes connected to the sampler count,
because ComfyUI runs no others.

Sources, of comfyanonymous/ComfyUI: ``SaveImage``, ``KSampler``, ``CLIPTextEncode``,
``EmptyLatentImage``, ``LoraLoader`` and ``CLIPSetLastLayer`` in ``nodes.py``; ``KSAMPLER_NAMES``
and the schedulers in ``comfy/samplers.py``; ``prepare_noise`` in ``comfy/sample.py``, which uses
torch's CPU generator for the noise, like sdloop.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.foreign.graph import Graph, Node
from sdloop.metadata.foreign.value import (
    Foreign,
    Item,
    call,
    gathered,
    number,
    sampler,
    seed_items,
    weighed,
)

# Other nodes that a graph may have, without a note: they change no setting.
_PLAIN = (
    *("SaveImage", "PreviewImage", "VAEDecode", "CheckpointLoaderSimple", "PrimitiveNode"),
    *("PrimitiveInt", "PrimitiveFloat", "PrimitiveString", "PrimitiveStringMultiline", "Reroute"),
)
_SAMPLERS = ("KSampler", "KSamplerAdvanced")
_LORAS = ("LoraLoader", "LoraLoaderModelOnly")
_READ = (
    *(*_SAMPLERS, *_LORAS, "CLIPTextEncode", "CLIPTextEncodeSDXL", "EmptyLatentImage"),
    *("CLIPSetLastLayer", "VAEEncode", "LoadImage"),
)
_SPACED: Mapping[str, Mapping[str, str]] = {
    "normal": {"sigmas": "uniform", "timestep_spacing": "linspace"},
    "sgm_uniform": {"sigmas": "uniform", "timestep_spacing": "trailing"},
    "karras": {"sigmas": "karras"},
    "exponential": {"sigmas": "exponential"},
    "beta": {"sigmas": "beta"},
}


def is_graph(values: Mapping[str, Any]) -> bool:
    nodes = list(values.values())
    return bool(nodes) and all(isinstance(one, Mapping) and "class_type" in one for one in nodes)


def read_graph(values: Mapping[str, Any]) -> Foreign:
    """Read the settings in a graph; for a graph that is not simple, only a note with its nodes."""
    graph = Graph(values)
    samplers = [node for node in graph.nodes.values() if "KSampler" in node.kind]
    simple = len(samplers) == 1 and samplers[0].kind in _SAMPLERS
    settings, left_out = gathered(_items(graph, samplers[0]) if simple else _not_simple(graph))
    return Foreign(
        source="comfyui",
        settings=settings,
        fields=_fields(samplers[0]) if simple else {},
        left_out=tuple(left_out),
        model=_checkpoint(graph, samplers),
    )


def _not_simple(graph: Graph) -> Iterator[Item]:
    nodes = ", ".join(sorted({node.kind for node in graph.nodes.values()}))
    yield f"the graph must have a single KSampler to be read, got the nodes {nodes}", None


def _fields(node: Node) -> dict[str, str]:
    return {k: str(v) for k, v in node.inputs.items() if not isinstance(v, list)}


def _checkpoint(graph: Graph, samplers: list[Node]) -> str | None:
    nodes = graph.before(*samplers) if samplers else list(graph.nodes.values())
    named = [graph.text(node.get("ckpt_name")) for node in nodes]
    found = list(dict.fromkeys(name for name in named if name is not None))
    return found[0] if len(found) == 1 else None


def _items(graph: Graph, node: Node) -> Iterator[Item]:
    yield from _texts(graph, node)
    yield from _start(graph, node)
    seed = graph.value(node.get("noise_seed", node.get("seed")))
    yield from seed_items(seed, same_noise=True)
    steps, cfg = graph.value(node.get("steps")), graph.value(node.get("cfg"))
    yield f"steps: {steps}", {"steps": steps}
    yield f"cfg: {cfg}", {"guidance_scale": cfg}
    name, spacing = str(node.get("sampler_name")), str(node.get("scheduler"))
    yield from sampler_items(name, spacing, "sampler_name")
    yield from _part_of_steps(graph, node, steps)
    on_the_way = {*graph.before(node), *graph.after(node)}
    for one in graph.nodes.values():
        if one in on_the_way and one.kind not in (*_PLAIN, *_READ):
            yield f"node {one.kind}", None


def sampler_items(name: str, spacing: str, called: str) -> Iterator[Item]:
    """A sampler and a schedule with ComfyUI's names, which other programs also use."""
    found = sampler(name.removesuffix("_gpu"))
    yield f"{called}: {name}", found
    if found is not None and spacing in _SPACED and "sigmas" in found:
        yield f"scheduler: {spacing}", _SPACED[spacing]
    elif spacing != "normal":
        yield f"scheduler: {spacing}", None


def _part_of_steps(graph: Graph, node: Node, steps: Any) -> Iterator[Item]:
    """Notes for a ``KSamplerAdvanced`` that runs only some of the steps."""
    last, run = number(graph.value(node.get("end_at_step"))), number(steps)
    started = graph.value(node.get("start_at_step", 0))
    for name, said in (
        ("add_noise", node.get("add_noise", "enable") != "enable"),
        ("start_at_step", number(started) != 0),
        ("end_at_step", last is not None and run is not None and last < run),
        ("return_with_leftover_noise", node.get("return_with_leftover_noise") == "enable"),
    ):
        if said:
            yield f"{name}: {node.get(name)}", None


def _texts(graph: Graph, node: Node) -> Iterator[Item]:
    """Both prompts, the LoRAs as A1111 tags in the prompt, and CLIP skip."""
    encoder = _encoder(graph, node.get("positive"))
    loras = list(_loras(graph, node, encoder))
    calls = "".join(found["call"] for _, found in loras if found is not None)
    yield from _prompt(graph, "positive", encoder, "prompt", calls)
    yield from _prompt(graph, "negative", _encoder(graph, node.get("negative")), "negative_prompt")
    yield from (item for item in loras if item[1] is None)
    for one in graph.chain(encoder, "clip"):
        if one.kind == "CLIPSetLastLayer":
            last = graph.value(one.get("stop_at_clip_layer", -1))  # -1 is the last
            skipped = -last if isinstance(last, int) else None
            yield f"stop_at_clip_layer: {last}", {"clip_skip": skipped} if skipped else None
            break


def _encoder(graph: Graph, link: Any) -> Node | None:
    node = graph.linked(link)
    return node if node is not None and node.kind.startswith("CLIPTextEncode") else None


def _prompt(
    graph: Graph, name: str, node: Node | None, field: str, calls: str = ""
) -> Iterator[Item]:
    """The text of one encoder node; that of SDXL has a second text for its second encoder."""
    two = node is not None and node.kind == "CLIPTextEncodeSDXL"
    plain = node is not None and node.kind == "CLIPTextEncode"
    text = graph.text(node.get("text_l" if two else "text")) if node and (two or plain) else None
    if text is None or node is None:
        yield f"{name}: not one CLIPTextEncode", None
        return
    if field == "prompt" or text or two:
        yield f"{name}: {text}", {field: text + calls}
        yield from weighed(name, text, "ComfyUI")
    if two:
        yield from _of_sdxl(graph, name, node, field, text, calls)


def _of_sdxl(
    graph: Graph, name: str, node: Node, field: str, text: str, calls: str
) -> Iterator[Item]:
    second = graph.text(node.get("text_g"))
    if second is None:
        yield f"{name} (text_g): not one text", None
    elif second != text:
        yield f"{name} (text_g): {second}", {f"{field}_2": second + calls}
    if field == "prompt":
        for ours, theirs in (
            ("original_size", ("width", "height")),
            ("crop_top_left", ("crop_h", "crop_w")),
            ("target_size", ("target_width", "target_height")),
        ):
            pair = [graph.value(node.get(one)) for one in theirs]
            if None not in pair:
                yield f"{ours}: {pair}", {ours: tuple(pair)}


def _loras(graph: Graph, node: Node, encoder: Node | None) -> Iterator[Item]:
    """The LoRAs between the checkpoint and the sampler, in the order of application."""
    on_model = [one for one in graph.chain(node, "model") if one.kind in _LORAS]
    on_text = [one for one in graph.chain(encoder, "clip") if one.kind == "LoraLoader"]
    for one in reversed(on_model):
        name, model = one.get("lora_name"), graph.value(one.get("strength_model", 1))
        text = graph.value(one.get("strength_clip", model)) if one in on_text else 0
        yield call(name, model, None if encoder is None else text)
    for one in reversed(on_text):
        if one not in on_model:
            yield call(one.get("lora_name"), 0, graph.value(one.get("strength_clip", 1)))


def _start(graph: Graph, node: Node) -> Iterator[Item]:
    """The sampler's start: noise of some size, or a picture with a strength."""
    start, denoise = graph.linked(node.get("latent_image")), graph.value(node.get("denoise", 1))
    if start is not None and start.kind == "EmptyLatentImage":
        size = {name: graph.value(start.get(name)) for name in ("width", "height")}
        yield f"size: {size['width']}x{size['height']}", size
        if start.get("batch_size", 1) != 1:
            yield f"batch_size: {start.get('batch_size')} (sdloop makes only the first)", None
    elif (name := _picture(graph, start)) is not None:
        yield f"image: {name}", {"image": name}
        if node.kind == "KSampler":
            # ComfyUI runs all steps even with a lower strength.
            found = {"image": name, "strength": denoise, "exact_steps": True}
            yield f"denoise: {denoise}", found
        return
    else:
        yield f"latent_image: {'none' if start is None else start.kind}", None
    if denoise != 1:
        yield f"denoise: {denoise}", None


def _picture(graph: Graph, start: Node | None) -> str | None:
    """The file name of the input picture, if it is encoded without changes."""
    if start is None or start.kind != "VAEEncode":
        return None
    loaded = graph.linked(start.get("pixels"))
    if loaded is None or loaded.kind != "LoadImage":
        return None
    return graph.text(loaded.get("image"))
