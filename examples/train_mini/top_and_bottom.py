"""Is sorting by CLIP score worth anything? Ask somebody else.

    python examples/train_mini/top_and_bottom.py --judge examples/train_mini/judge --out runs/ranked

Of each held-out prompt it makes pictures of many seeds, sorts them with ``inspection.ranking``, as
``sdloop sheet --rank clip`` does, and lets the judge, which knows nothing of CLIP or prompts, say
which of them have all that their prompt names. Pictures that are there already are not made again.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from judge import ANSWERS, Judge, load_judge, look_at, right
from making import Settings
from measures import Share, share_of
from PIL import Image
from questions import Question, questions

import sdloop
from sdloop.inspection.ranking import rank_by_clip, words_of
from sdloop.metadata.picture import write_picture
from sdloop.models.clip.load import Clip, load_clip
from sdloop.models.components.load import Components

PART = 8
"""The top eighth is held against the bottom eighth."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """Which pictures of one prompt are right, from the best score to the worst."""

    question: Question
    right: tuple[bool, ...]

    @property
    def part(self) -> int:
        """How many an eighth is."""
        return max(1, len(self.right) // PART)


def make_pictures(
    components: Components, question: Question, folder: Path, *, seeds: int, settings: Settings
) -> list[Path]:
    """A file for each seed from 1 on; those that are there stay."""
    files = [folder / f"{seed:03d}.png" for seed in range(1, seeds + 1)]
    missing = [seed for seed, file in enumerate(files, 1) if not file.is_file()]
    recipes = [settings.recipe(question.prompt, seed) for seed in missing]
    for event in sdloop.stream(components, recipes, batch_size=settings.batch_size):
        if isinstance(event, sdloop.Picture):
            file = folder / f"{event.recipe.seed:03d}.png"
            write_picture(event.image, file, recipe=event.recipe)
    return files


def sort_and_judge(clip: Clip, judge: Judge, question: Question, files: Sequence[Path]) -> Found:
    """A picture is right if the judge sees in it all that the prompt names."""
    order = rank_by_clip(clip, words_of([str(file) for file in files]))
    pictures = [Image.open(one.name).convert("RGB") for one in order]
    answers = right(look_at(judge, pictures), [question.scene] * len(pictures))
    named = [answers[name] for name in ANSWERS if name in question.said]
    return Found(question=question, right=tuple(all(each) for each in zip(*named, strict=True)))


def find(
    clip: Clip, judge: Judge, asked: Sequence[Question], args: argparse.Namespace
) -> Iterator[Found]:
    """Prompt by prompt."""
    components = sdloop.load_components(args.model)
    settings = Settings(steps=args.steps, guidance_scale=args.guidance_scale)
    for number, question in enumerate(asked):
        folder = args.out / f"{number:03d}"
        files = make_pictures(components, question, folder, seeds=args.seeds, settings=settings)
        found = sort_and_judge(clip, judge, question, files)
        print(f"{summary(found)}  {question.prompt}", file=sys.stderr, flush=True)
        yield found


def summary(found: Found) -> str:
    """How many are right of the top eighth, of all, and of the bottom eighth."""
    top, bottom = sum(found.right[: found.part]), sum(found.right[-found.part :])
    return f"{top}/{found.part} {sum(found.right)}/{len(found.right)} {bottom}/{found.part}"


def shares(found: Sequence[Found]) -> dict[str, Share]:
    """Over all the prompts."""
    return {
        "top eighth": share_of([ok for one in found for ok in one.right[: one.part]]),
        "all": share_of([ok for one in found for ok in one.right]),
        "bottom eighth": share_of([ok for one in found for ok in one.right[-one.part :]]),
    }


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="mini", help="whatever sdloop takes for a model")
    parser.add_argument("--clip", default="mini", help="folder, hub id or mini")
    parser.add_argument("--judge", type=Path, required=True, help="the folder of classifier.py")
    parser.add_argument("--out", type=Path, required=True, help="where the pictures go")
    parser.add_argument("--prompts", type=int, default=10, help="how many held-out ones")
    parser.add_argument("--seeds", type=int, default=64, help="pictures of each")
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--guidance-scale", type=float, help="default: the model's own")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> None:
    """Make what is missing, sort, judge, and print the shares."""
    args = parse(argv)
    clip, judge = load_clip(args.clip), load_judge(args.judge)
    found = list(find(clip, judge, questions(args.prompts), args))
    for name, share in shares(found).items():
        print(f"{name}: {share.right} of {share.asked} have all that their prompt names")


if __name__ == "__main__":
    main()
