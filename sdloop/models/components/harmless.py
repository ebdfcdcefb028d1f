"""Tensors that published files hold beside a part, and that change no picture: they are dropped.

The one list of them, with the source of each. Every other extra tensor is refused, because it may
mean that the file is a model of another kind.
"""

from collections.abc import Iterable, Mapping

from torch import Tensor

# The end of a tensor's name in the text encoder of a folder or a single file → who drops it.
# Names in OpenCLIP's layout are in OPEN_CLIP.
TEXT_ENCODER: Mapping[str, str] = {
    # 0, 1, 2 …, a buffer that old versions wrote; some merges round it to half precision
    "embeddings.position_ids": "transformers 4.31: CLIPTextEmbeddings registers it as not saved",
    # of CLIP's comparison with pictures, in files that were saved with CLIP's whole text side
    "text_projection.weight": "ComfyUI supported_models.py: SD15 and SDXL, pop_keys",
    "logit_scale": "ComfyUI supported_models.py: SD15 and SDXL, pop_keys",
}

# OpenCLIP's tensors outside of its layers → who drops them, or "" for those that are converted.
# The projection is converted for the second text encoder of SDXL and dropped for that of SD 2.
OPEN_CLIP: Mapping[str, str] = {
    "ln_final.bias": "",
    "ln_final.weight": "",
    "positional_embedding": "",
    "text_projection": "",
    "token_embedding.weight": "",
    # the causal mask, and the temperature of OpenCLIP's training
    "attn_mask": "diffusers single_file_utils.py: convert_open_clip_checkpoint",
    "logit_scale": "diffusers single_file_utils.py: convert_open_clip_checkpoint",
}

# How the names begin of what belongs to a VAE in a file of its own. What begins in another way is
# of its training (``loss.``, ``model_ema.``): diffusers' convert_ldm_vae_checkpoint drops it.
VAE_STARTS = ("encoder.", "decoder.", "quant_conv.", "post_quant_conv.")


def without_harmless(tensors: Mapping[str, Tensor], expected: Iterable[str]) -> dict[str, Tensor]:
    """The tensors of a text encoder, less those of the list that it has no place for.

    >>> list(without_harmless({"logit_scale": Tensor(), "more": Tensor()}, []))
    ['more']
    """
    dropped = tuple(TEXT_ENCODER)
    wanted = set(expected)
    return {n: t for n, t in tensors.items() if n in wanted or not n.endswith(dropped)}
