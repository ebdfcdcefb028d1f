"""CLIP scores: 100 times the cosine between what a CLIP makes of a picture and of a text.

Source: Hessel et al. 2021 (arXiv:2104.08718), scaled as in torchmetrics' ``CLIPScore``, which
raises a mean below zero to zero; here a number below zero stays what it is, so that it sorts.
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
    """How well each picture fits the prompt of its place: 100 × cosine, -100 to 100, higher is
    better.

    Of a picture that is not square the middle is seen, as CLIP's own processor cuts it. A prompt
    is read as it stands (``prompt.plain_words`` takes the grammar out of one), and not beyond the
    model's window; ``tokens_left_out`` tells what that costs.

    Raises ``ValueError`` where there are not as many prompts as pictures.
    """
    if len(pictures) != len(prompts):
        raise ValueError(f"each picture needs its prompt, got {len(pictures)} and {len(prompts)}")
    texts = list(dict.fromkeys(prompts))  # the pictures of many seeds have one prompt
    embeds = dict(zip(texts, _embedded_texts(clip, texts, batch_size), strict=True))
    scores: list[float] = []
    for start in range(0, len(pictures), batch_size):
        some = slice(start, start + batch_size)
        seen = torch.stack([_seen(picture, clip.view) for picture in pictures[some]])
        image_embeds = _embedded(clip, seen.to(clip.device))
        text_embeds = torch.stack([embeds[prompt] for prompt in prompts[some]])
        scores += (100 * (image_embeds * text_embeds).sum(-1)).tolist()
    return scores


def embed_texts(clip: Clip, prompts: Sequence[str]) -> Tensor:
    """What the CLIP makes of texts: unit vectors (texts, width), on its device."""
    ids = clip.tokenizer(
        list(prompts),
        padding=True,
        max_length=clip.max_tokens,
        truncation=True,
        return_tensors="pt",
    )
    # No mask, and no padding beyond the longest: what follows the end token changes nothing.
    pooled = clip.model.get_text_features(ids.input_ids.to(clip.device)).pooler_output
    return F.normalize(pooled, dim=-1)


def embed_pixels(clip: Clip, pixels: Tensor) -> Tensor:
    """What the CLIP makes of pictures in 0..1: (batch, 3, height, width) to unit vectors (batch,
    width), on its device.

    Gradients flow back to ``pixels``; the CLIP's own weights take none. The shorter side is
    resized, bicubic with antialiasing, and the middle square is seen, so that the score of
    pictures against a text is ``100 * (embed_pixels(clip, pixels) * embed_texts(clip, [text])).
    sum(-1)``. Pictures that need resizing get another score than by ``clip_scores``, by a few
    tenths: Pillow resizes bytes.
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
    """How many tokens of a prompt lie beyond the window, and are not seen."""
    return max(0, len(clip.tokenizer(prompt, verbose=False).input_ids) - clip.max_tokens)


def _embedded_texts(clip: Clip, texts: Sequence[str], batch_size: int) -> Iterator[Tensor]:
    for start in range(0, len(texts), batch_size):
        yield from embed_texts(clip, texts[start : start + batch_size])


def _embedded(clip: Clip, seen: Tensor) -> Tensor:
    return F.normalize(clip.model.get_image_features(seen).pooler_output, dim=-1)


def _seen(picture: "Picture", view: "View") -> Tensor:
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
    """The size whose shorter side is ``shortest_edge``; the longer is rounded down, as there."""
    shorter = min(width, height)
    return int(shortest_edge * width / shorter), int(shortest_edge * height / shorter)
