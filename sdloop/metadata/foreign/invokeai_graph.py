"""Read InvokeAI's graph (3 to 6): JSON in the PNG text "invokeai_graph".

A picture of its workflow editor has no other settings, unless its workflow has a metadata node.

::

    {"nodes": {"a": {"type": "noise", "seed": 4, …}, …},
     "edges": [{"source": {"node_id": "a", "field": "noise"}, "destination": {…}}, …]}

The graph is turned into the settings that a metadata node would have written. Only simple graphs
are read: those with one node that denoises.

Sources, of invoke-ai/InvokeAI: ``Graph`` and ``Edge`` in ``invokeai/app/services/shared/graph.py``;
``DenoiseLatentsInvocation`` (in 3.0 "t2l" and "l2l"), ``NoiseInvocation``, ``CompelInvocation`` and
``LoRALoaderInvocation`` in ``invokeai/app/invocations``, with the fields' defaults.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.foreign.graph import Graph, Node
from sdloop.metadata.foreign.value import mapping

_DENOISE = ("denoise_latents", "denoise_latents_meta", "t2l", "l2l", "t2l_sdxl", "l2l_sdxl")
_PROMPTS = ("compel", "sdxl_compel_prompt")
_LORAS = ("lora_loader", "sdxl_lora_loader", "lora_selector")
# Nodes that change no setting, or that are read.
_QUIET = (
    *(*_DENOISE, *_PROMPTS, *_LORAS, "noise", "collect", "l2i", "save_image", "core_metadata"),
    *("main_model_loader", "sdxl_model_loader", "clip_skip", "string", "integer", "float"),
    *("lora_collection_loader", "sdxl_lora_collection_loader", "vae_loader", "rand_int"),
    *("model_identifier", "metadata", "metadata_item", "merge_metadata", "scheduler"),
)
# What every node has.
_OF_ALL = ("id", "type", "is_intermediate", "use_cache", "board", "metadata")


def graph_settings(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """What "invokeai_metadata" would hold for this graph; None if it is not simple.

    Nodes that are not read are named under "nodes".
    """
    graph = _graph(values)
    found = [node for node in graph.nodes.values() if node.kind in _DENOISE]
    if len(found) != 1:
        return None
    (node,) = found
    positive = _prompt(graph, node, "positive_conditioning")
    negative = _prompt(graph, node, "negative_conditioning")
    noise = graph.linked(node.get("noise"))
    settings = {
        "positive_prompt": _text(graph, positive, "prompt"),
        "negative_prompt": _text(graph, negative, "prompt"),
        "positive_style_prompt": _text(graph, positive, "style"),
        "negative_style_prompt": _text(graph, negative, "style"),
        **{name: graph.value(node.get(name, usual)) for name, usual in _usual(node).items()},
        **_noise(graph, noise),
        "loras": list(_loras(graph, node)),
        "model": _model(graph, node),
        "clip_skip": _clip_skip(graph, positive),
        "generation_mode": None if node.get("latents") is None else "img2img",
        "nodes": ", ".join(sorted({one.kind for one in graph.before(node)} - {*_QUIET})),
    }
    return {name: value for name, value in settings.items() if value not in (None, [], "")}


def _usual(node: Node) -> dict[str, Any]:
    """The fields of a node that denoises, with their defaults; the names are the metadata's."""
    usual = {"steps": 10, "cfg_scale": 7.5, "scheduler": "euler", "cfg_rescale_multiplier": 0}
    if node.get("latents") is not None:
        usual["denoising_start"] = 0
    if node.get("denoising_end", 1) != 1:
        usual["denoising_end"] = 1
    return usual


def _graph(values: Mapping[str, Any]) -> Graph:
    """The graph with its links in ComfyUI's form: an input is a value, or [node, output]."""
    nodes: dict[str, dict[str, Any]] = {
        str(name): {
            "class_type": mapping(one).get("type"),
            "inputs": {key: value for key, value in mapping(one).items() if key not in _OF_ALL},
        }
        for name, one in mapping(values.get("nodes")).items()
    }
    edges = values.get("edges")
    for edge in edges if isinstance(edges, list) else []:
        start, end = (mapping(mapping(edge).get(name)) for name in ("source", "destination"))
        into = nodes.get(str(end.get("node_id")))
        if into is None:
            continue
        link, field = [str(start.get("node_id")), str(start.get("field"))], str(end.get("field"))
        if into["class_type"] == "collect":  # it takes any number
            field = f"{field} {len(into['inputs'])}"
        into["inputs"][field] = link
    return Graph(nodes)


def _prompt(graph: Graph, node: Node, field: str) -> Node | None:
    """The only prompt behind this input."""
    link = graph.linked(node.get(field))
    found = [one for one in graph.before(link) if one.kind in _PROMPTS] if link else []
    return found[0] if len(found) == 1 else None


def _text(graph: Graph, node: Node | None, field: str) -> str | None:
    return None if node is None else graph.text(node.get(field, ""))


def _noise(graph: Graph, node: Node | None) -> dict[str, Any]:
    if node is None or node.kind != "noise":
        return {}
    sides = {name: graph.value(node.get(name, 512)) for name in ("width", "height")}
    device = "cpu" if node.get("use_cpu", True) is True else "cuda"
    return {"seed": graph.value(node.get("seed", 0)), **sides, "rand_device": device}


def _loras(graph: Graph, node: Node) -> Iterator[dict[str, Any]]:
    """The LoRAs on the way from the model to the UNet, in the order of application."""
    start = graph.linked(node.get("unet"))
    on_the_way = graph.before(start) if start else []
    for one in reversed([one for one in on_the_way if one.kind in _LORAS]):
        yield {"model": one.get("lora"), "weight": graph.value(one.get("weight", 0.75))}


def _model(graph: Graph, node: Node) -> Any:
    start = graph.linked(node.get("unet"))
    loaders = [one for one in graph.before(start) if "model_loader" in one.kind] if start else []
    return loaders[0].get("model") if len(loaders) == 1 else None


def _clip_skip(graph: Graph, prompt: Node | None) -> Any:
    for one in graph.chain(prompt, "clip"):
        if one.kind == "clip_skip":
            return graph.value(one.get("skipped_layers", 0))
    return None
