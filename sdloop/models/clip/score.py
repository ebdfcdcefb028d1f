"""CLIP scores: 100 times the cosine similarity of a picture's and a text's embeddings.

Source: Hessel et al. 2021 (arXiv:2104.08718), scaled as in torchmetrics' ``CLIPScore``, which
clamps a negative mean to zero; here negative scores are kept, so that they can be sorted.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sdloop.models.clip.load import Clip

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from sdloop.models.checkpoint.clip import View


@torch.no_grad()
def clip_scores(
    clip: Clip, pictures: "Sequence[Picture]", prompts: Sequence[str], *, batch_size: int = 16
) -> list[float]:
    """The score of each picture with its prompt: 100 × cosine, -100 to 100, higher is better.

    Pictures that are not square are cropped to the middle, as by CLIP's own processor. Prompts are
    read as plain text (``prompt.plain.plain_words`` removes the prompt grammar) and truncated to
    the model's maximum length; ``tokens_left_out`` says how much is lost.

    Raises ``ValueError`` if the numbers of prompts and pictures differ.
    """
    if len(pictures) != len(prompts):
        raise ValueError(f"each picture needs its prompt, got {len(pictures)} and {len(prompts)}")
    texts = list(dict.fromkeys(prompts))  # the pictures of many seeds have one prompt
    embeds = dict(zip(texts, _embedded_texts(clip, texts, batch_size), strict=True))
    scores: list[float] = []
    for start in range(0, len(pictures), batch_size):
        some = slice(start, start + batch_size)
        seen = torch.stack([seen_as(picture, clip.view) for picture in pictures[some]])
        image_embeds = _embedded(clip, seen.to(clip.device))
        text_embeds = torch.stack([embeds[prompt] for prompt in prompts[some]])
        scores += (100 * (image_embeds * text_embeds).sum(-1)).tolist()
    return scores


def embed_texts(clip: Clip, prompts: Sequence[str]) -> Tensor:
    """The CLIP's embeddings of texts: unit vectors (texts, width), on its device."""
    ids = clip.tokenizer(
        list(prompts),
        padding=True,
        max_length=clip.max_tokens,
        truncation=True,
        return_tensors="pt",
    )
    # No attention mask is needed: tokens after the end token have no effect.
    pooled = clip.model.get_text_features(ids.input_ids.to(clip.device)).pooler_output
    return F.normalize(pooled, dim=-1)


def embed_pixels(clip: Clip, pixels: Tensor) -> Tensor:
    """The CLIP's embeddings of pictures in 0..1, (batch, 3, height, width): unit vectors (batch,
    width), on its device.

    Gradients flow back to ``pixels``, but not to the CLIP's weights. The shorter side is resized
    (bicubic with antialiasing) and the middle square is cropped. The score of pictures with a text
    is ``100 * (embed_pixels(clip, pixels) * embed_texts(clip, [text])).sum(-1)``. For pictures that
    are resized it differs by a few tenths from ``clip_scores``, where Pillow resizes 8-bit pixels.
    """
    view = clip.view
    pixels = pixels.to(clip.device, torch.float32)
    height, width = pixels.shape[-2:]
    size = _resized(width, height, view.shortest_edge)
    if size != (width, height):
        pixels = F.interpolate(
            pixels, (size[1], size[0]), mode="bicubic", antialias=True, align_corners=False
        ).clamp(0, 1)
    left, top = (size[0] - view.side) // 2, (size[1] - view.side) // 2
    pixels = pixels[..., top : top + view.side, left : left + view.side]
    mean, std = (pixels.new_tensor(three).view(3, 1, 1) for three in (view.mean, view.std))
    return _embedded(clip, (pixels - mean) / std)


def tokens_left_out(clip: Clip, prompt: str) -> int:
    """How many tokens of a prompt are beyond the maximum length, and ignored."""
    return max(0, len(clip.tokenizer(prompt, verbose=False).input_ids) - clip.max_tokens)


def _embedded_texts(clip: Clip, texts: Sequence[str], batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(texts), batch_size):
        yield from embed_texts(clip, texts[start : start + batch_size])


def _embedded(clip: Clip, seen: Tensor) -> Tensor:
    return F.normalize(clip.model.get_image_features(seen).pooler_output, dim=-1)


def seen_as(picture: "Picture", view: "View") -> Tensor:
    """The picture (3, side, side) as transformers' ``CLIPImageProcessor`` prepares it."""
    picture = picture.convert("RGB")
    size = _resized(*picture.size, view.shortest_edge)
    if size != picture.size:
        picture = picture.resize(size, Image.Resampling(view.resample))
    left, top = (size[0] - view.side) // 2, (size[1] - view.side) // 2
    picture = picture.crop((left, top, left + view.side, top + view.side))
    pixels = np.asarray(picture, np.float32) / 255
    normal = (pixels - np.asarray(view.mean, np.float32)) / np.asarray(view.std, np.float32)
    return torch.from_numpy(normal).permute(2, 0, 1)


def _resized(width: int, height: int, shortest_edge: int) -> tuple[int, int]:
    """The size whose shorter side is ``shortest_edge``; the longer is rounded down, as in CLIP."""
    shorter = min(width, height)
    return int(shortest_edge * width / shorter), int(shortest_edge * height / shorter)
