"""How well a CLIP tells drawn scenes apart by words alone.

    python examples/train_mini/zero_shot.py --clip runs/mini/clip
    python examples/train_mini/zero_shot.py --clip mini

Each choice of a question ("colour": red, orange, ...) is what a CLIP makes of captions of scenes
that have it, on average; a picture is taken for the choice that it is nearest to. That is how CLIP
is asked about ImageNet (Radford et al. 2021, arXiv:2103.00020, section 3.1.4). In a second column
the rest of the scene is told: its own caption, against those that differ in this one thing, which
is what sorting the pictures of one prompt comes to. Nothing was trained on these scenes.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from captions import plainly
from dataset import QUESTIONS
from drawing import draw_scene
from judge import HELD_OUT, to_tensor
from measures import Share, share_of
from scenes import Scene, sample_scene
from torch import Tensor

from sdloop.models.clip.load import Clip, load_clip
from sdloop.models.clip.score import embed_pixels, embed_texts

TOLD_BY = 64
"""Captions that a choice is the mean of."""

BATCH = 64


@dataclass(frozen=True, kw_only=True, slots=True)
class Answers:
    """The shares of right answers about one question: ``alone``, and with the rest ``told``."""

    choices: int
    alone: Share
    told: Share


def ask(clip: Clip, seeds: range, size: tuple[int, int] = (64, 64)) -> dict[str, Answers]:
    """Ask every question about the drawn scenes of these seeds."""
    scenes = [sample_scene(seed) for seed in seeds]
    pictures = embed_scenes(clip, scenes, size)
    answers = {}
    for question, choices in QUESTIONS.items():
        right = torch.tensor([choices.index(getattr(scene, question)) for scene in scenes])
        alone = pictures @ torch.stack([choice_of(clip, question, it) for it in choices]).T
        variants = [replace(scene, **{question: it}) for scene in scenes for it in choices]
        own = embed_captions(clip, variants).view(len(scenes), len(choices), -1)
        told = (own * pictures[:, None]).sum(-1)
        answers[question] = Answers(
            choices=len(choices),
            alone=share_of((alone.argmax(-1) == right).tolist()),
            told=share_of((told.argmax(-1) == right).tolist()),
        )
    return answers


@torch.no_grad()
def embed_scenes(clip: Clip, scenes: Sequence[Scene], size: tuple[int, int]) -> Tensor:
    """What the CLIP makes of the scenes, drawn: (scenes, width)."""
    batches = [scenes[start : start + BATCH] for start in range(0, len(scenes), BATCH)]
    drawn = (to_tensor([draw_scene(scene, size) for scene in batch]) for batch in batches)
    return torch.cat([embed_pixels(clip, (pixels + 1) / 2) for pixels in drawn]).cpu()


@torch.no_grad()
def embed_captions(clip: Clip, scenes: Sequence[Scene]) -> Tensor:
    """What the CLIP makes of the scenes, told: (scenes, width)."""
    texts = [plainly(scene) for scene in scenes]
    batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
    return torch.cat([embed_texts(clip, batch) for batch in batches]).cpu()


def choice_of(clip: Clip, question: str, choice: object) -> Tensor:
    """A choice as a unit vector: the mean of what is made of scenes that have it."""
    others = [sample_scene(HELD_OUT - 1 - number) for number in range(TOLD_BY)]
    scenes = [replace(scene, **{question: choice}) for scene in others]
    return F.normalize(embed_captions(clip, scenes).mean(0), dim=0)


def main(argv: list[str] | None = None) -> None:
    """Print a table as the model card has it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clip", default="mini", help="folder, hub id or mini [%(default)s]")
    parser.add_argument("--pictures", type=int, default=1000, help="to ask about [%(default)s]")
    args = parser.parse_args(argv)
    answers = ask(load_clip(args.clip), range(HELD_OUT, HELD_OUT + args.pictures))
    print("| question | choices | by chance | alone | the rest told |")
    print("| --- | --- | --- | --- | --- |")
    for question, found in answers.items():
        chance = 1 / found.choices
        print(
            f"| {question} | {found.choices} | {chance:.1%} | {found.alone.share:.1%} "
            f"| {found.told.share:.1%} |"
        )


if __name__ == "__main__":
    main()
