"""Detect which program wrote a picture's metadata, and read it. For A1111: ``metadata.a1111``."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from sdloop.metadata.a1111 import Parameters, parse_parameters
from sdloop.metadata.foreign import easydiffusion
from sdloop.metadata.foreign.comfyui import is_graph, read_graph
from sdloop.metadata.foreign.flat import read_flat
from sdloop.metadata.foreign.invokeai import read_invokeai, read_sd_metadata
from sdloop.metadata.foreign.invokeai_dream import dream_settings
from sdloop.metadata.foreign.invokeai_graph import graph_settings
from sdloop.metadata.foreign.mflux import is_mflux, read_mflux
from sdloop.metadata.foreign.sdcpp import is_sdcpp, read_sdcpp
from sdloop.metadata.foreign.value import Foreign, Source, printable

__all__ = ["KEYWORDS", "Foreign", "Source", "read_foreign"]

# The keywords of these programs' PNG texts, besides A1111's "parameters".
KEYWORDS = (
    *("invokeai_metadata", "invokeai_graph", "sd-metadata", "Dream", "prompt", "Comment"),
    *easydiffusion.KEYWORDS,
)

# A comment with one of these settings is read as A1111's text.
_A1111 = {"Steps", "Sampler", "Seed"}
# A prompt may begin like {red|blue} or [red:blue:0.5], but not like this.
_LIKE_JSON = re.compile(r'\s*(?:\{\s*["}]|\[\s*(?:[{"\]]))')


def read_foreign(texts: Mapping[str, str]) -> Foreign | Parameters | None:
    """Read texts of other programs; A1111's text gives ``Parameters``. None if nothing is found.

    Texts with a known keyword but unknown content are skipped. A text without a prompt, such as a
    graph that is not simple, only counts if no other text has a prompt.
    """
    found = [one for one in _read_all(texts) if one is not None]
    with_prompt = (one for one in found if not isinstance(one, Foreign) or "prompt" in one.settings)
    return next(with_prompt, found[0] if found else None)


def _read_all(texts: Mapping[str, str]) -> Iterator[Foreign | Parameters | None]:
    """Read each of the texts, the most exact ones first."""
    for reader in (_invokeai, _sd_metadata, _comfyui, _parameters, _novelai, _texts):
        try:
            yield reader(texts)
        except RecursionError:  # JSON that is nested too deeply
            yield None


def _invokeai(texts: Mapping[str, str]) -> Foreign | None:
    values = _object(texts.get("invokeai_metadata"))
    if values is None or "positive_prompt" not in values:
        graph = _object(texts.get("invokeai_graph"))
        settings = None if graph is None else graph_settings(graph)
        values = values if settings is None else settings
    return None if values is None else read_invokeai(values)


def _sd_metadata(texts: Mapping[str, str]) -> Foreign | None:
    values = _object(texts.get("sd-metadata")) or {}
    if "image" not in values and (settings := dream_settings(texts.get("Dream", ""))) is not None:
        values = {"image": settings}
    return read_sd_metadata(values) if isinstance(values.get("image"), dict) else None


def _comfyui(texts: Mapping[str, str]) -> Foreign | None:
    values = _object(texts.get("prompt"))
    return read_graph(values) if values is not None and is_graph(values) else None


def _parameters(texts: Mapping[str, str]) -> Foreign | Parameters | None:
    text = texts.get("parameters", texts.get("comment"))
    if text is None:
        return None
    if (values := _object(text)) is not None:
        return _of_object(values)
    parameters = parse_parameters(text)
    like_json = _LIKE_JSON.match(text) is not None
    if ("parameters" not in texts or like_json) and not parameters.fields.keys() & _A1111:
        return None  # the comment of a photo, or truncated JSON
    if like_json and not parameters.prompt:
        return None
    return read_sdcpp(parameters) if is_sdcpp(parameters) else parameters


def _novelai(texts: Mapping[str, str]) -> Foreign | None:
    values = _object(texts.get("Comment"))
    return None if values is None else read_flat(values)


def _texts(texts: Mapping[str, str]) -> Foreign | None:
    """Read texts that are settings of their own, one each: those of Easy Diffusion."""
    return read_flat(texts)


def _of_object(values: Mapping[str, Any]) -> Foreign | None:
    """Read a JSON object. JSON of an unknown program gives None: it is not a prompt either."""
    if is_mflux(values):
        return read_mflux(values)
    return read_graph(values) if is_graph(values) else read_flat(values)


def _object(text: str | None) -> dict[str, Any] | None:
    """Parse ``text`` as a JSON object; None if it is not one."""
    if text is None or not text.lstrip().startswith("{"):
        return None
    try:
        values = printable(json.loads(text))
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
