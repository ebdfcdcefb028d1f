"""Which program wrote a picture's metadata, and what it says. A1111's own is ``metadata.a1111``."""

import json
from collections.abc import Mapping
from typing import Any

from sdloop.metadata.a1111 import Parameters, parse_parameters
from sdloop.metadata.foreign.comfyui import is_graph, read_graph
from sdloop.metadata.foreign.invokeai import read_invokeai, read_sd_metadata
from sdloop.metadata.foreign.mflux import is_mflux, read_mflux
from sdloop.metadata.foreign.sdcpp import is_sdcpp, read_sdcpp
from sdloop.metadata.foreign.value import Foreign, Source

__all__ = ["KEYWORDS", "Foreign", "Source", "read_foreign"]

# The PNG texts that these programs write, beside A1111's "parameters".
KEYWORDS = ("invokeai_metadata", "sd-metadata", "prompt")


def read_foreign(texts: Mapping[str, str]) -> Foreign | Parameters | None:
    """What texts say that are not ours: A1111's as ``Parameters``, None where nobody speaks.

    A text of a known keyword that is nothing we know is passed over.
    """
    if (values := _object(texts.get("invokeai_metadata"))) is not None:
        return read_invokeai(values)
    if isinstance((_object(texts.get("sd-metadata")) or {}).get("image"), dict):
        return read_sd_metadata(_object(texts.get("sd-metadata")) or {})
    if (values := _object(texts.get("prompt"))) is not None and is_graph(values):
        return read_graph(values)
    if "parameters" not in texts:
        return None
    values = _object(texts["parameters"])
    if values is not None and is_mflux(values):
        return read_mflux(values)
    parameters = parse_parameters(texts["parameters"])
    return read_sdcpp(parameters) if is_sdcpp(parameters) else parameters


def _object(text: str | None) -> dict[str, Any] | None:
    """The JSON object in ``text``, if it is one."""
    if text is None or not text.lstrip().startswith("{"):
        return None
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
