"""Learn the words of a data set before any picture: a tokenizer, and a text encoder that can read.

    python examples/train_mini/train_words.py --out runs/mini

A text encoder that learns from the UNet alone hears about its words through seventy positions of
padding and a UNet that ignores it, and often collapses: every prompt reads the same. Here it is
taught alone. Each position from the end of a caption on is asked the data set's questions (of a
scene: its subject, its colour, ...; of a picture of one's own: its words), and where the caption
does not say, the best answer is how often each choice occurs. What answers is thrown away, and the
UNet finds texts that are already told apart. Run the command again to resume it.
"""

import argparse
from dataclasses import dataclass

import torch
from byte_pairs import learn_merges, save_tokenizer, tokenize
from dataset import Data, held_out_places
from files import replace_folder
from flags import add_flags, parse_flags, start
from loading import Share, Tensors
from log import Losses
from models import TEXT_WIDTH, make_text_encoder
from torch import Tensor, nn
from training import Trainer
from transformers import CLIPTextModel, CLIPTokenizer

SHORT = 32
"""Tokens of most batches; every fourth has the full window, so that all positions learn."""


def right_answers(data: Data, places: range) -> Tensor:
    """Which choices are right: bool (places, all the questions' choices in a row)."""
    sizes = [len(choices) for choices in data.questions.values()]
    right = torch.zeros(len(places), sum(sizes), dtype=torch.bool)
    for row, place in enumerate(places):
        for answer, first in zip(data.answers(place), offsets(sizes), strict=True):
            right[row, [first + number for number in answer]] = True
    return right


def offsets(sizes: list[int]) -> list[int]:
    """Where each part begins when parts of these sizes lie in a row.

    >>> offsets([2, 3, 1])
    [0, 2, 5]
    """
    return [sum(sizes[:index]) for index in range(len(sizes))]


@dataclass(frozen=True, kw_only=True, slots=True)
class CaptionBatches:
    """Tokens and right answers of a step, for a worker to make."""

    data: Data
    share: Share
    tokenizer: CLIPTokenizer

    def __call__(self, step: int) -> Tensors:
        places = self.share.places(step)
        captions = [self.data.caption(place, 0) for place in places]
        length = None if step % 4 == 3 else SHORT
        return tokenize(self.tokenizer, captions, length), right_answers(self.data, places)


class Reader(nn.Module):
    """A text encoder that is asked questions at every position."""

    def __init__(self, text_encoder: CLIPTextModel, data: Data) -> None:
        super().__init__()
        self.text_encoder = text_encoder
        self.sizes = {question: len(choices) for question, choices in data.questions.items()}
        self.answer = nn.Linear(TEXT_WIDTH, sum(self.sizes.values()))

    def logits(self, input_ids: Tensor) -> tuple[Tensor, ...]:
        """Of each question: (captions, positions, choices)."""
        hidden = self.text_encoder(input_ids).last_hidden_state
        return self.answer(hidden).float().split(list(self.sizes.values()), dim=-1)

    def forward(self, input_ids: Tensor, right: Tensor) -> Losses:
        """The mean cross-entropy at and after the end of each caption, question by question.

        Right choices share the answer evenly, be they one (a colour) or several (words): Mahajan
        et al. 2018 (arXiv:1805.00932, section 2.2) found that better than asking yes or no of each.
        """
        ended = (input_ids == self.text_encoder.config.eos_token_id).float()
        wanted = right.float().split(list(self.sizes.values()), dim=-1)
        losses = {}
        for question, logits, share in zip(self.sizes, self.logits(input_ids), wanted, strict=True):
            even = share / share.sum(-1, keepdim=True).clamp(min=1)
            entropy = -(logits.log_softmax(-1) * even[:, None]).sum(-1)
            losses[question] = (entropy * ended).sum() / ended.sum()
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


@torch.no_grad()
def measure_answers(reader: Reader, data: Data, tokenizer: CLIPTokenizer) -> dict[str, float]:
    """Of captions never trained on, by question: of as many choices as are right, the share of
    right ones among the likeliest, at the window's last position."""
    places = held_out_places(data, 256)
    ids = tokenize(tokenizer, [data.caption(place, 0) for place in places])
    wanted = right_answers(data, places).split(list(reader.sizes.values()), dim=-1)
    shares = {}
    for (question, size), logits, right in zip(
        reader.sizes.items(),
        reader.logits(ids.to(reader.answer.weight.device)),
        wanted,
        strict=True,
    ):
        ranked = right.gather(1, logits[:, -1].argsort(descending=True).cpu())
        chosen = torch.arange(size) < right.sum(-1, keepdim=True)
        shares[f"{question}_right"] = (ranked & chosen).sum().item() / max(1, chosen.sum().item())
    return shares


def make_tokenizer(args: argparse.Namespace) -> CLIPTokenizer:
    """The run's tokenizer, learnt from its first captions unless it is there already."""
    folder = args.out / "tokenizer"
    if not folder.is_dir():
        data, count = args.data, args.learn_from
        places = range(count if data.count is None else min(count, data.count))
        merges = learn_merges((data.caption(place, 0) for place in places), args.merges)
        replace_folder(folder, lambda fresh: save_tokenizer(fresh, merges))
    return CLIPTokenizer.from_pretrained(folder)


def train(args: argparse.Namespace) -> None:
    """Make the tokenizer, then teach until ``--captions`` were read."""
    accelerator, data = start(args, batch=64), args.data
    with accelerator.main_process_first():
        tokenizer = make_tokenizer(args)
    text_encoder = make_text_encoder(tokenizer, args.text_layers)
    reader = Reader(text_encoder, data)
    trainer = Trainer(args, accelerator, "words", reader)
    batches = CaptionBatches(data=data, share=trainer.share, tokenizer=tokenizer)
    for step in trainer.run(batches, lambda step, batch, generator: batch):
        if trainer.due(args.report):
            trainer.log.report(step, **measure_answers(reader, data, tokenizer))
        if trainer.due(args.every):
            replace_folder(args.out / "text_encoder", text_encoder.save_pretrained)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="captions", seen=200_000, rate=5e-4, every=500)
    parser.add_argument("--merges", type=int, default=1000, help="byte pairs at most [%(default)s]")
    parser.add_argument(
        "--learn-from", type=int, default=20_000, help="captions for the tokenizer [%(default)s]"
    )
    parser.add_argument(
        "--text-layers", type=int, default=3, help="of the text encoder [%(default)s]"
    )
    return parse_flags(parser, argv)


if __name__ == "__main__":
    train(parse())
