"""What the small CLIP learns: which captions are true of which pictures.

In CLIP (Radford et al. 2021, arXiv:2103.00020) a caption belongs to one picture of its batch. Here
"a frog" is true of every frog, so the pictures of which a caption is true share the answer evenly,
and so do the captions that are true of a picture. Captions that differ from a true one in one word
lie among them: without those a glance at the subject would do.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from byte_pairs import tokenize
from dataset import Data, Size
from loading import Share, Tensors
from log import Losses
from torch import Tensor, nn
from train_vae import stack_pictures
from train_words import SHORT, right_answers
from transformers import CLIPModel, CLIPTokenizer

TWISTS = 2
"""Captions beside a picture's own that are not quite true of it."""

LARGEST = math.log(100)
"""The logarithm of the largest scale of the cosines, 100, as in CLIP."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClaimBatches:
    """Of a step, for a worker to make: pictures, their right answers, and, at one step of
    ``read_every``, their facts and the tokens of captions with what these claim, all own ones
    first."""

    data: Data
    share: Share
    tokenizer: CLIPTokenizer
    size: Size
    read_every: int = 1

    def __call__(self, step: int) -> Tensors:
        places = self.share.places(step)
        return self.whole(places) if step % self.read_every == 0 else self.pictures(places)

    def pictures(self, places: range) -> Tensors:
        """What these places show."""
        return stack_pictures(self.data, places, self.size), right_answers(self.data, places)

    def whole(self, places: range) -> Tensors:
        """What these places show, and what is said of it."""
        twists = range(1 + TWISTS)
        claims = [self.data.claim(place, 0, twist) for twist in twists for place in places]
        return (
            *self.pictures(places),
            torch.tensor([self.data.facts(place) for place in places]),
            tokenize(self.tokenizer, [text for text, _ in claims], SHORT),
            torch.tensor([stated for _, stated in claims]),
        )


def true_of(claims: Tensor, facts: Tensor) -> Tensor:
    """Whether each caption (columns) is true of each picture (rows): it states no other fact.

    >>> true_of(torch.tensor([[3, -1], [3, 5]]), torch.tensor([[3, 4]])).tolist()
    [[True, False]]
    """
    return ((claims[None] == facts[:, None]) | (claims[None] < 0)).all(dim=-1)


def shared_entropy(logits: Tensor, right: Tensor) -> Tensor:
    """The mean cross-entropy of rows whose right columns share the answer evenly; rows without a
    right column are left out."""
    even = right.float() / right.sum(-1, keepdim=True).clamp(min=1)
    entropy = -(logits.log_softmax(-1) * even).sum(-1)
    asked = right.any(-1).float()
    return (entropy * asked).sum() / asked.sum().clamp(min=1)


class Contrast(nn.Module):
    """A CLIP with its losses in one forward.

    The picture's tower is asked the data set's questions beside, as the text encoder was by
    ``train_words.py``: it learns to look much sooner. What answers is thrown away.
    """

    def __init__(self, clip: CLIPModel, data: Data) -> None:
        super().__init__()
        self.clip = clip
        self.sizes = [len(choices) for choices in data.questions.values()]
        self.answer = nn.Linear(clip.config.vision_config.hidden_size, sum(self.sizes))

    def forward(self, pictures: Tensor, answers: Tensor, *said: Tensor) -> Losses:
        """Losses of a batch of pictures in -1..1; ``said`` are facts, tokens and claims, or
        nothing, and then only the questions are asked."""
        pooled = self.clip.vision_model(pictures).pooler_output
        losses = {"answers": self.ask(pooled, answers)}
        if said:
            losses |= self.compare(pooled, *said)
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}

    def compare(self, pooled: Tensor, facts: Tensor, input_ids: Tensor, claims: Tensor) -> Losses:
        """CLIP's two losses: which caption is true of a picture, and the other way round."""
        image = F.normalize(self.clip.visual_projection(pooled).float(), dim=-1)
        text = self.clip.get_text_features(input_ids).pooler_output
        text = F.normalize(text.float(), dim=-1)
        logits = self.clip.logit_scale.clamp(max=LARGEST).exp() * image @ text.T
        right = true_of(claims, facts)
        return {
            "by_picture": shared_entropy(logits, right),
            "by_caption": shared_entropy(logits.T, right.T),
        }

    def ask(self, pooled: Tensor, answers: Tensor) -> Tensor:
        """The cross-entropies of the questions."""
        logits = self.answer(pooled).float().split(self.sizes, dim=-1)
        right = answers.split(self.sizes, dim=-1)
        pairs = zip(logits, right, strict=True)
        return torch.stack([shared_entropy(each, wanted) for each, wanted in pairs]).sum()


@torch.no_grad()
def measure_choices(model: Contrast, batch: Tensors, pictures: Tensor) -> dict[str, float]:
    """Of pictures never trained on: the share whose likeliest caption, of all in the batch, is
    true, and the share whose own caption beats those that differ in a word."""
    _, _, facts, input_ids, claims = (tensor.to(pictures.device) for tensor in batch)
    image = model.clip.get_image_features(pictures).pooler_output
    text = model.clip.get_text_features(input_ids).pooler_output
    cosines = F.normalize(image, dim=-1) @ F.normalize(text, dim=-1).T
    right = true_of(claims, facts)
    found = right.gather(1, cosines.argmax(-1, keepdim=True)).float().mean().item()
    own, *twisted = (part.diagonal() for part in cosines.split(len(pictures), dim=1))
    _, *fine = (part.diagonal() for part in right.split(len(pictures), dim=1))
    beaten = [
        (own > other)[~true].float().mean() for other, true in zip(twisted, fine, strict=True)
    ]
    return {"found": found, "beats_twists": torch.stack(beaten).mean().item()}
