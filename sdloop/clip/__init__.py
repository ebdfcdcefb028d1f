"""How well pictures fit texts, as a CLIP has it: numbers to sort by, and gradients to steer by."""

from sdloop.clip.load import Clip, load_clip
from sdloop.clip.score import clip_scores, embed_pixels, embed_texts, tokens_left_out

__all__ = ["Clip", "clip_scores", "embed_pixels", "embed_texts", "load_clip", "tokens_left_out"]
