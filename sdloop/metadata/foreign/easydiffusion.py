"""Easy Diffusion's metadata: one PNG text for each setting, or all as JSON in an EXIF comment.

The names are those of its requests, or with "txt" files switched on the labels of its page. In a
PNG the values are Python's texts of them: ``None``, ``True``, ``['a', 'b']``.

Sources: ``TASK_TEXT_MAPPING`` and ``get_printable_request`` in ``ui/easydiffusion/utils/
save_utils.py`` of easydiffusion/easydiffusion; ``save_dicts`` in ``sdkit/utils/file_utils.py`` and
``make_with_diffusers`` in ``sdkit/generate/image_generator.py``, with noise of the device, of
easydiffusion/sdkit.
"""

import ast
from collections.abc import Mapping
from typing import Any

from sdloop.metadata.foreign.value import printable

# The labels of the page → the names of requests.
LABELS = {
    "Prompt": "prompt",
    "Negative Prompt": "negative_prompt",
    "Seed": "seed",
    "Stable Diffusion model": "use_stable_diffusion_model",
    "Clip Skip": "clip_skip",
    "ControlNet model": "use_controlnet_model",
    "ControlNet Filter": "control_filter_to_apply",
    "ControlNet Strength": "control_alpha",
    "VAE model": "use_vae_model",
    "Sampler": "sampler_name",
    "Scheduler": "scheduler_name",
    "Width": "width",
    "Height": "height",
    "Steps": "num_inference_steps",
    "Guidance Scale": "guidance_scale",
    "Distilled Guidance": "distilled_guidance_scale",
    "Prompt Strength": "prompt_strength",
    "LoRA model": "use_lora_model",
    "LoRA Strength": "lora_alpha",
    "Hypernetwork model": "use_hypernetwork_model",
    "Hypernetwork Strength": "hypernetwork_strength",
    "Embedding models": "use_embeddings_model",
    "Seamless Tiling": "tiling",
    "Use Face Correction": "use_face_correction",
    "Use Upscaling": "use_upscale",
    "Upscale By": "upscale_amount",
    "Latent Upscaler Steps": "latent_upscaler_steps",
}
KEYWORDS = (*LABELS, *LABELS.values())
_NEEDED = {"prompt", "num_inference_steps", "guidance_scale"}


def easy_diffusion(values: Mapping[str, Any]) -> dict[str, Any] | None:
    """The settings in Easy Diffusion's texts or JSON, as JSON values; None if they are others'."""
    named = {LABELS.get(name, name): value for name, value in values.items() if name in KEYWORDS}
    if not named.keys() >= _NEEDED:
        return None
    found = {name: _value(name, value) for name, value in named.items()}
    found = {name: value for name, value in found.items() if value is not None}
    if found.get("clip_skip") is True:  # on or off there: the last layer is skipped
        found["clip_skip"] = 2
    if found.get("tiling") == "none":
        del found["tiling"]
    for name in ("use_lora_model", "lora_alpha"):
        if name in found and not isinstance(found[name], list):
            found[name] = [found[name]]
    return found


def _value(name: str, value: Any) -> Any:
    """The value itself, of what may be Python's text of it; prompts are always texts."""
    if not isinstance(value, str) or name in ("prompt", "negative_prompt"):
        return value
    if value in ("None", "True", "False") or value.startswith("["):
        try:
            return printable(ast.literal_eval(value))
        except (ValueError, SyntaxError, RecursionError, MemoryError, TypeError):
            return value
    return value
