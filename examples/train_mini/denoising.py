"""What the UNet is trained to do, on which latents, and with which words."""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import floor
from pathlib import Path

import torch
import torch.nn.functional as F
from accelerate import Accelerator
from byte_pairs import tokenize
from cache_latents import Bucket, read_header
from dataset import Data, shuffled
from diffusers import UNet2DConditionModel
from loading import Share, Tensors
from log import Losses
from models import make_noise_schedule
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTextModel, CLIPTokenizer

EMPTY_CAPTIONS = 0.1
"""The share trained on the empty caption, which guidance needs as its starting point."""


def bucket_at(step: int, wide: float) -> tuple[int, int]:
    """Which bucket a step takes (the square one, or by turns the wide and the tall), and how many
    steps before it took the same.

    >>> [bucket_at(step, 0.5) for step in range(6)]
    [(0, 0), (1, 0), (0, 1), (2, 0), (0, 2), (1, 1)]
    """
    before = floor(step * wide)
    if floor((step + 1) * wide) == before:
        return 0, step - before
    return 1 + before % 2, before // 2


def make_walk(
    data: Data, bucket: Bucket, balanced: str | None = None, oftener: Sequence[str] = ()
) -> Sequence[int]:
    """A bucket's rows, each once; or as often as makes the answers to the question ``balanced``
    about equally frequent, so that what is rare in the world is learnt too; and what has an answer
    of ``oftener`` three times as often, so that what is hard is."""
    rows = range(bucket.count)
    if balanced is None and not oftener:
        return rows
    answers = [named_answers(data, bucket.first + row) for row in rows]
    counts = Counter(answer.get(balanced or "") for answer in answers)
    most = max(counts.values())

    def times(answer: Mapping[str, str]) -> int:
        hard = not set(oftener).isdisjoint(answer.values())
        return round(most / counts[answer.get(balanced or "")]) * (3 if hard else 1)

    return [row for row in rows for _ in range(times(answers[row]))]


def named_answers(data: Data, place: int) -> dict[str, str]:
    """The first right answer to each question that has one about a place, in its own word."""
    right = zip(data.questions.items(), data.answers(place), strict=True)
    return {question: str(choices[numbers[0]]) for (question, choices), numbers in right if numbers}


@dataclass(frozen=True, kw_only=True, slots=True)
class TextBatches:
    """Rows of a step's bucket, and the tokens of their captions, for a worker to make."""

    data: Data
    share: Share
    tokenizer: CLIPTokenizer
    buckets: tuple[Bucket, ...]
    walks: tuple[Sequence[int], ...]
    wide: float
    empty: float = EMPTY_CAPTIONS

    def __call__(self, step: int) -> Tensors:
        number, turn = bucket_at(step, self.wide)
        bucket, walk, rows, captions = self.buckets[number], self.walks[number], [], []
        for place in self.share.places(turn):
            row = walk[shuffled(place, len(walk))[1]]
            dropped = random.Random(f"empty {bucket.name} {place}").random() < self.empty
            captions.append("" if dropped else self.data.caption(bucket.first + row, place))
            rows.append(row)
        return torch.tensor(rows), tokenize(self.tokenizer, captions)


class Denoising(nn.Module):
    """The UNet and its loss in one forward, which is what accelerate wraps."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        self.schedule = make_noise_schedule()

    def forward(
        self, latents: Tensor, noise: Tensor, timesteps: Tensor, *conditions: Tensor
    ) -> Losses:
        """The squared error of v, every timestep counting the same.

        Min-SNR weighting (arXiv:2303.09556) was tried and given up: it multiplies the loss of the
        noisiest third of the steps by less than 0.01, and that is where a picture this small
        chooses its subject and colour. Backdrops came, subjects did not.
        """
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        target = self.schedule.get_velocity(latents, noise, timesteps)
        predicted = self.predict(noisy, timesteps, *conditions).float()
        return {"loss": F.mse_loss(predicted, target)}

    def predict(self, noisy: Tensor, timesteps: Tensor, *conditions: Tensor) -> Tensor:
        """The prediction of v; the conditions are the prompts' embeddings."""
        predicted: Tensor = self.unet(noisy, timesteps, *conditions).sample
        return predicted


def draw_noise(
    latents: Tensor, generator: torch.Generator, *, details: bool = False
) -> tuple[Tensor, Tensor]:
    """Gaussian noise like the latents and a timestep for each, oftener from the noisy end.

    The share of timesteps below t is 1 - sqrt(1 - t / 1000): the noisy half, where the text is
    needed, gets seven of ten. A model that knows its subjects learns ``details`` where there is
    less noise than picture, below t = 270. Then the share is (t / 1000) ** 0.7, so that two of five
    are there, and not one of seven.
    """
    device = generator.device
    noise = torch.randn(latents.shape, generator=generator, device=device)
    drawn = torch.rand(len(latents), generator=generator, device=device)
    places = drawn ** (1 / 0.7) if details else 1 - drawn.square()
    return noise, (1000 * places).long().clamp(max=999)


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the trained ones."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


class Latents:
    """The cached latents on the device, scaled to unit size when they are taken, and the frozen
    text encoder."""

    def __init__(self, run: Path, buckets: tuple[Bucket, ...], accelerator: Accelerator) -> None:
        self.accelerator = accelerator
        files = [run / "latents" / f"{bucket.name}.safetensors" for bucket in buckets]
        self.scaling_factor = float(read_header(files[0])["scaling_factor"])
        parts = [load_file(file) for file in files]
        self.buckets = [part["latents"].to(accelerator.device) for part in parts]
        self.held_out = parts[0]["held_out"].to(accelerator.device).float() * self.scaling_factor
        text_encoder = CLIPTextModel.from_pretrained(run / "text_encoder", dtype=torch.float32)
        self.text_encoder = text_encoder.requires_grad_(False).to(accelerator.device)

    def take(self, bucket: int, rows: Tensor) -> Tensor:
        """Rows of a bucket, float32."""
        return self.buckets[bucket][rows].float() * self.scaling_factor

    @torch.no_grad()
    def embed(self, input_ids: Tensor) -> Tensor:
        """What the UNet attends to."""
        with self.accelerator.autocast():
            return self.text_encoder(input_ids).last_hidden_state.float()

    @torch.no_grad()
    def measure(self, model: nn.Module, input_ids: Tensor, *more: Tensor) -> float:
        """The loss on square pictures never trained on, always with the same noise; ``more`` is
        what the model takes after the words."""
        noise, timesteps = draw_noise(self.held_out.cpu(), torch.Generator().manual_seed(0))
        given = (tensor.to(self.held_out.device) for tensor in (noise, timesteps, input_ids, *more))
        whole = (tensor.split(64) for tensor in (self.held_out, *given))
        losses = []
        for latents, noise, timesteps, ids, *rest in zip(*whole, strict=True):
            with self.accelerator.autocast():
                loss = model(latents, noise, timesteps, self.embed(ids), *rest)["loss"]
            losses.append(loss * len(latents))
        return torch.stack(losses).sum().item() / len(self.held_out)
