"""The parts of a model, tiny models by family, and equality of their weights."""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextModel, CLIPTextModelWithProjection

from helpers.tiny import tiny_inpaint, tiny_sd1, tiny_sd2, tiny_sdxl
from sdloop.models.components.load import Components

PARTS = {
    "unet": UNet2DConditionModel,
    "vae": AutoencoderKL,
    "text_encoder": CLIPTextModel,
    "text_encoder_2": CLIPTextModelWithProjection,
}
TINY: dict[str, Callable[..., Components]] = {
    "sd1": tiny_sd1,
    "sd2": tiny_sd2,
    "sdxl": tiny_sdxl,
    **{f"{name}-inpainting": partial(tiny_inpaint, name) for name in ("sd1", "sd2", "sdxl")},
}


def assert_same_weights(one: Any, other: Any) -> None:
    assert (one is None) == (other is None)
    if one is not None:
        mine, theirs = one.state_dict(), other.state_dict()
        assert mine.keys() == theirs.keys()
        for name in mine:
            assert torch.equal(mine[name], theirs[name]), name
