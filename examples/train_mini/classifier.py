"""Train the judge: a small network that tells what is drawn, on drawn scenes alone.

    python examples/train_mini/classifier.py --out runs/judge
    python examples/train_mini/classifier.py --out runs/judge --start examples/train_mini/judge \
        --pictures 60000
    python examples/train_mini/classifier.py --out runs/judge --confusions

Run the first again to resume it. Its scenes are of seeds that no other training draws, and it is
tested on scenes of others still. The second prints what a trained judge takes for what: a pair that
is confused often is a drawing that ought to be clearer.
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import torch
import torch.nn.functional as F
from faults import face_of, fault_of
from flags import add_precision
from judge import (
    ALL_ANSWERS,
    ANSWERS,
    HELD_OUT,
    WEIGHTS,
    Answer,
    Judge,
    draw_batches,
    load_judge,
    look,
    measure,
    save_judge,
)
from safetensors.torch import load_file
from scenes import sample_scene
from torch import Generator, Tensor
from training import cosine_rate

TRAIN = 1 << 42
"""The first of the seeds that the judge is trained on."""

SIZES = (128, 128), (192, 128), (128, 128), (128, 192)
"""What each batch in turn is drawn at: (width, height)."""

CHECKPOINT = "checkpoint.pt"
MEASURED = 2000
"""Held-out scenes of the last measurement at each size; those on the way take a quarter."""


def soften(pictures: Tensor, generator: Generator) -> Tensor:
    """Pictures as a camera might have taken them: softer, grainier, paler or darker, a little.

    Half of them are mixed with their own blur (a Gaussian of two thirds of a pixel), noise of up
    to 0.06 is added, brightness moves by up to 0.1 and contrast by up to 15 %, all on a scale of
    -1..1. A generated picture is never as crisp as a drawn one, and should be judged by its
    contents. Hue stays, for colours are asked.
    """

    def dice(low: float, high: float) -> Tensor:
        return low + (high - low) * torch.rand(len(pictures), 1, 1, 1, generator=generator)

    line = torch.exp(-torch.arange(-2.0, 3.0).square() * 9 / 8)
    kernel = torch.outer(line, line) / line.sum() ** 2
    padded = F.pad(pictures, (2, 2, 2, 2), mode="replicate")
    blurred = F.conv2d(padded, kernel.expand(3, 1, 5, 5), groups=3)
    pictures = torch.lerp(pictures, blurred, dice(-1, 1).clamp(min=0))
    noise = torch.randn(pictures.shape, generator=generator) * dice(0, 0.06)
    return pictures * dice(0.85, 1.15) + dice(-0.1, 0.1) + noise


UNASKED = -100
"""In place of an answer that there is none to, as ``F.cross_entropy`` has it."""


def wanted(seeds: range) -> dict[str, Tensor]:
    """What the scene of each seed is, as places in ``ALL_ANSWERS``, or ``UNASKED``."""
    truths = []
    for seed in seeds:
        scene = sample_scene(seed)
        truths.append({name: getattr(scene, name) for name in ANSWERS})
        truths[-1] |= face_of(scene, fault_of(seed, scene))
    return {
        name: torch.tensor(
            [choices.index(truth[name]) if name in truth else UNASKED for truth in truths]
        )
        for name, choices in ALL_ANSWERS.items()
    }


def cross_entropy(logits: Tensor, answers: Tensor) -> Tensor:
    """The mean over those that were asked, and 0 where nobody was."""
    total = F.cross_entropy(logits.float(), answers, ignore_index=UNASKED, reduction="sum")
    return total / (answers != UNASKED).sum().clamp(min=1)


def first_judge(start: Path | None) -> Judge:
    """A judge to begin with: untrained, or with all that fits of another's."""
    judge = Judge()
    if start:
        own, other = judge.state_dict(), load_file(start / WEIGHTS)
        fits = {name: value.float() for name, value in other.items() if name in own}
        judge.load_state_dict(own | fits)
    return judge


class Lessons:
    """A run: the judge, its optimiser and how many batches it has seen.

    What a batch is, the scenes and the dice of ``soften``, follows from its number alone, so a
    run that was killed ends with the very weights of one that was not.
    """

    def __init__(self, args: argparse.Namespace) -> None:
        torch.manual_seed(args.seed)
        self.args, self.done = args, 0
        self.judge = first_judge(args.start)
        self.optimizer = torch.optim.AdamW(self.judge.parameters(), weight_decay=0.02, fused=True)
        self.drawing = self.learning = self.seen = 0.0
        path = args.out / CHECKPOINT
        if path.is_file():
            state = torch.load(path, map_location="cpu", weights_only=True)
            self.judge.load_state_dict(state["judge"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.done = state["done"]

    def save(self) -> None:
        """Replace the checkpoint at once: a kill while writing leaves the old one whole."""
        path = self.args.out / CHECKPOINT
        path.parent.mkdir(parents=True, exist_ok=True)
        state = {"judge": self.judge.state_dict(), "optimizer": self.optimizer.state_dict()}
        torch.save(state | {"done": self.done}, path.with_suffix(".new"))
        path.with_suffix(".new").replace(path)

    def batch(self) -> tuple[Tensor, dict[str, Tensor]]:
        """The next batch's softened pictures and what is in them."""
        first = TRAIN + self.done * self.args.batch
        seeds = range(first, first + self.args.batch)
        size = SIZES[self.done % len(SIZES)]
        pictures = next(draw_batches(seeds, size, self.args.batch, spoiled=True))
        generator = Generator().manual_seed(self.done)
        return soften(pictures, generator), wanted(seeds)

    def step(self, rate: float) -> float:
        """One optimiser step; returns the sum of the questions' cross-entropies."""
        started = time.perf_counter()
        pictures, answers = self.batch()
        drawn = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.judge.train()
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.precision == "bf16"):
            logits = self.judge(pictures)
        losses = [cross_entropy(logits[name], answers[name]) for name in ALL_ANSWERS]
        loss = torch.stack(losses).sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.done += 1
        self.seen += self.args.batch
        self.drawing += drawn - started
        self.learning += time.perf_counter() - drawn
        return loss.item()

    def report(self) -> str:
        """How much is right by now, and the speed of each half since the last report."""
        shares = measure(self.judge, range(HELD_OUT, HELD_OUT + MEASURED // 4), SIZES[0])
        speeds = [self.seen / seconds for seconds in (self.drawing, self.learning)]
        self.drawing = self.learning = self.seen = 0.0
        return "{} (drawn {:.0f}/s, learned {:.0f}/s)".format(in_words(shares), *speeds)


def in_words(shares: dict[str, float]) -> str:
    """Shares by name, in per cent."""
    return " ".join(f"{name} {100 * share:.1f}" for name, share in shares.items())


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, and write the judge with what it is worth."""
    lessons, steps = Lessons(args), args.pictures // args.batch
    warmup = min(100, steps // 8)
    while lessons.done < steps:
        loss = lessons.step(cosine_rate(lessons.done, steps, args.rate, warmup))
        if lessons.done % args.every == 0 or lessons.done == steps:
            print(f"step {lessons.done} of {steps} loss {loss:.3f} {lessons.report()}", flush=True)
            lessons.save()
    save_judge(lessons.judge, args.out, {"pictures": lessons.done * args.batch})
    judge, shares = load_judge(args.out), {}
    for width, height in dict.fromkeys(SIZES):
        name = f"{width}x{height}"
        shares[name] = measure(judge, range(HELD_OUT, HELD_OUT + MEASURED), (width, height))
        print(f"{name}: {in_words(shares[name])}")
    record = {"pictures": lessons.done * args.batch, "held_out": MEASURED, "accuracy": shares}
    save_judge(judge, args.out, record)


def confusions(judge: Judge, count: int) -> list[str]:
    """What is taken for what on held-out drawn scenes, the commonest first, with the styles it
    happens in and three seeds to look at."""
    seeds = range(HELD_OUT, HELD_OUT + count)
    scenes = [sample_scene(seed) for seed in seeds]
    verdicts = look(judge, draw_batches(seeds, SIZES[0]))
    wrong: dict[tuple[str, Answer, Answer], list[int]] = {}
    for name in ANSWERS:
        answers = verdicts.answers(name)
        for place, (scene, taken) in enumerate(zip(scenes, answers, strict=True)):
            if taken != getattr(scene, name):
                wrong.setdefault((name, getattr(scene, name), taken), []).append(place)
    lines = []
    commonest = sorted(wrong.items(), key=lambda pair: len(pair[1]), reverse=True)
    for (name, true, taken), places in commonest:
        total = sum(getattr(scene, name) == true for scene in scenes)
        styles = Counter(scenes[place].style for place in places).most_common()
        where = ", ".join(f"{style} {times}" for style, times in styles)
        some = ", ".join(f"{HELD_OUT:#x}+{place}" for place in places[:3])
        lines.append(
            f"{name}: {true} taken for {taken} {len(places)} of {total} ({where}) seeds {some}"
        )
    return lines


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the judge's folder")
    parser.add_argument(
        "--pictures", type=int, default=240_000, help="to see in all; sets the cosine's length"
    )
    parser.add_argument("--start", type=Path, help="a judge to begin with")
    parser.add_argument("--batch", type=int, default=64, help="pictures per step")
    parser.add_argument("--rate", type=float, default=4e-3, help="highest learning rate")
    parser.add_argument("--every", type=int, default=250, help="steps between checkpoints")
    add_precision(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    parser.add_argument(
        "--confusions", action="store_true", help="train nothing; print what is taken for what"
    )
    return parser.parse_args(argv)


def main() -> None:
    """Train, or print the confusions of a judge that is trained."""
    args = parse()
    if args.confusions:
        print("\n".join(confusions(load_judge(args.out), 2 * MEASURED)))
    else:
        train(args)


if __name__ == "__main__":
    main()
