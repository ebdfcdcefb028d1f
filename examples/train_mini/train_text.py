"""Teach the text encoder the words, before any picture: from a caption, tell what it says.

    python examples/train_mini/train_text.py --tokenizer runs/mini/tokenizer --out runs/mini/text

A text encoder that learns from the UNet alone hears about its words through seventy positions of
padding and a UNet that ignores it, and often collapses: every prompt reads the same. Here each
position from the end of the caption on is asked for the scene's subject, colour, setting, count
and stilts; where the caption does not say, the best answer is how often each occurs. The heads are
thrown away, and the UNet finds a text that is already told apart.
"""

import argparse
from pathlib import Path

import torch
import torch.nn.functional as F
from captions import caption_of
from models import TEXT_WIDTH, make_text_encoder
from scenes import COLOURS, COUNTS, SETTINGS, SUBJECTS, Scene, sample_scene
from torch import Tensor, nn
from training import HELD_OUT, cosine_rate
from transformers import CLIPTextModel, CLIPTokenizer

SHORT = 24
"""Tokens of most batches; every fourth has the full window, so that all positions learn."""

ANSWERS = {
    "subject": list(SUBJECTS),
    "colour": list(COLOURS),
    "setting": list(SETTINGS),
    "count": list(COUNTS),
    "stilts": [False, True],
}


def answers(scenes: list[Scene]) -> dict[str, Tensor]:
    """What each scene is, as numbers of ``ANSWERS``."""
    return {
        name: torch.tensor([choices.index(getattr(scene, name)) for scene in scenes])
        for name, choices in ANSWERS.items()
    }


class Reader(nn.Module):
    """A text encoder and one linear question for each attribute."""

    def __init__(self, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.heads = nn.ModuleDict(
            {name: nn.Linear(TEXT_WIDTH, len(choices)) for name, choices in ANSWERS.items()}
        )

    def forward(self, input_ids: Tensor) -> dict[str, Tensor]:
        """Logits (captions, positions, choices) of every attribute, at every position."""
        hidden = self.text_encoder(input_ids).last_hidden_state
        return {name: head(hidden) for name, head in self.heads.items()}


def batch(
    seeds: range, tokenizer: CLIPTokenizer, length: int
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """Tokens, where each caption has ended, and the answers."""
    scenes = [sample_scene(seed) for seed in seeds]
    captions = [caption_of(seed, scene, 0) for seed, scene in zip(seeds, scenes, strict=True)]
    ids = tokenizer(
        captions, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
    ).input_ids
    return ids, ids == tokenizer.eos_token_id, answers(scenes)


def loss_of(reader: Reader, ids: Tensor, ended: Tensor, wanted: dict[str, Tensor]) -> Tensor:
    """The mean cross-entropy over all positions at and after the end of each caption."""
    losses = []
    for name, logits in reader(ids).items():
        targets = wanted[name][:, None].expand(ids.shape)
        losses.append(F.cross_entropy(logits[ended], targets[ended]))
    return torch.stack(losses).sum()


@torch.no_grad()
def accuracy(reader: Reader, tokenizer: CLIPTokenizer) -> dict[str, float]:
    """Right answers at the last position of captions never trained on."""
    ids, _, wanted = batch(range(HELD_OUT, HELD_OUT + 256), tokenizer, tokenizer.model_max_length)
    return {
        name: (logits[:, -1].argmax(-1) == wanted[name]).float().mean().item()
        for name, logits in reader(ids).items()
    }


def train(args: argparse.Namespace) -> None:
    """Teach for ``--steps``, saying now and then how much is read right, and save the encoder."""
    torch.manual_seed(args.seed)
    tokenizer = CLIPTokenizer.from_pretrained(args.tokenizer)
    reader = Reader(make_text_encoder(tokenizer, args.text_layers))
    optimizer = torch.optim.AdamW(reader.parameters(), betas=(0.9, 0.99), weight_decay=0.01)
    for step in range(args.steps):
        length = tokenizer.model_max_length if step % 4 == 3 else SHORT
        seeds = range(step * args.batch, (step + 1) * args.batch)
        loss = loss_of(reader, *batch(seeds, tokenizer, length))
        for group in optimizer.param_groups:
            group["lr"] = cosine_rate(step, args.steps, args.rate)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(reader.parameters(), 1.0)
        optimizer.step()
        if (step + 1) % 50 == 0:
            right = " ".join(f"{k} {v:.2f}" for k, v in accuracy(reader, tokenizer).items())
            print(f"step {step + 1} loss {loss.item():.3f} {right}", flush=True)
    reader.text_encoder.save_pretrained(args.out)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokenizer", type=Path, required=True, help="the tokenizer's folder")
    parser.add_argument("--out", type=Path, required=True, help="the text encoder's folder")
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--batch", type=int, default=64, help="captions per step")
    parser.add_argument("--rate", type=float, default=5e-4, help="highest learning rate")
    parser.add_argument("--text-layers", type=int, default=3, help="layers of the text encoder")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
