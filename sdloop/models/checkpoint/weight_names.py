"""The names of weight files, in a folder or in the hub's list of files, and which ones to read.

A part's weights exist in several forms: plain or as a variant ("fp16"), as .safetensors or .bin
files, whole or in shards.
"""

import re
from collections.abc import Collection, Iterable, Mapping

SAFE, BIN = ".safetensors", ".bin"

# The names of each part's weight files, without variant and suffix.
STEMS: Mapping[str, str] = {
    "unet": "diffusion_pytorch_model",
    "vae": "diffusion_pytorch_model",
    "text_encoder": "model",
    "text_encoder_2": "model",
    "depth_estimator": "model",
}

SAFETY = "safety_checker"
# The same with the parts that are not loaded with a model.
ALL_STEMS: Mapping[str, str] = {
    **STEMS,
    SAFETY: "model",
    "controlnet": STEMS["unet"],
    "t2i_adapter": STEMS["unet"],
    "segmenter": "model",
    "pose_estimator": "model",
}

# transformers' name for a text encoder's weights in a pickle; diffusers has one name for both kinds
_PICKLED_STEMS = {"model": "pytorch_model"}

# The variant (None: the plain weights) and the ending.
Form = tuple[str | None, str]


def stem_of(stem: str, ending: str) -> str:
    """The stem of a weight file's name, which for a text encoder depends on the format."""
    return _PICKLED_STEMS.get(stem, stem) if ending == BIN else stem


def whole_name(home: str, stem: str, form: Form) -> str:
    """The name of an unsharded weight file.

    >>> whole_name("unet/", "diffusion_pytorch_model", ("fp16", ".safetensors"))
    'unet/diffusion_pytorch_model.fp16.safetensors'
    """
    variant, ending = form
    return f"{home}{stem_of(stem, ending)}{f'.{variant}' if variant else ''}{ending}"


def forms(names: Iterable[str], home: str, stem: str) -> dict[Form, tuple[str, ...]]:
    """Each form of a part's weights, with the names of its files; an index counts as one.

    >>> forms(["vae/model.bin", "vae/model.fp16-00001-of-00002.safetensors"], "vae/", "model")
    {('fp16', '.safetensors'): ('vae/model.fp16-00001-of-00002.safetensors',)}
    """
    found: dict[Form, list[str]] = {}
    for ending in (SAFE, BIN):
        start, shard = re.escape(f"{home}{stem_of(stem, ending)}"), r"(?:-\d{5}-of-\d{5})?"
        named = r"(?:\.([\w.-]+?))?"
        files = re.compile(rf"{start}{named}{shard}{named}{re.escape(ending)}")
        index = re.compile(rf"{start}{re.escape(ending)}\.index{named}()\.json")
        for name in sorted(names):
            match = files.fullmatch(name) or index.fullmatch(name)
            if match is not None:
                found.setdefault((match[1] or match[2] or None, ending), []).append(name)
    return {form: tuple(files) for form, files in found.items()}


def preferred(
    there: Collection[Form], variant: str | None, *, only_pickled: bool = False
) -> tuple[Form, ...]:
    """The forms to read, best first; not all of them may be ``there``.

    Without a ``variant`` the plain weights are asked for. Where they do not exist, a variant that
    is the only one is read. A ``.bin`` file is a pickle: a .safetensors file of another precision
    is better. ``only_pickled`` says that the model has the variant as pickles only.

    >>> preferred({("fp16", ".safetensors"), (None, ".bin")}, None)
    ((None, '.safetensors'), ('fp16', '.safetensors'), (None, '.bin'))
    """
    if variant is None:
        return ((None, SAFE), *_only_one(there, SAFE), (None, BIN), *_only_one(there, BIN))
    if only_pickled:
        return ((variant, BIN), (None, SAFE), (None, BIN))
    return ((variant, SAFE), (None, SAFE), (variant, BIN), (None, BIN))


def _only_one(there: Collection[Form], ending: str) -> tuple[Form, ...]:
    named = tuple(form for form in there if form[0] is not None and form[1] == ending)
    return named if len(named) == 1 else ()


def variants_of(names: Collection[str], parts: Iterable[str]) -> dict[str, set[str]]:
    """The variants of these parts of a model, with the endings of their files."""
    found: dict[str, set[str]] = {}
    for part in parts:
        for variant, ending in forms(names, f"{part}/", STEMS[part]):
            if variant is not None:
                found.setdefault(variant, set()).add(ending)
    return found


def variant_of(name: str, home: str, stem: str) -> str | None:
    """The variant that a weight file is of."""
    return next((variant for variant, _ in forms((name,), home, stem)), None)
