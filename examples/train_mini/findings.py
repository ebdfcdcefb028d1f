"""Everything that is found out about a model, as plain numbers under plain names.

The judge is tested first, on drawn scenes that neither it nor the model has met: with fewer than
99 % right answers to a question it does not get to judge.
"""

import sys
from collections.abc import Sequence
from typing import Any

import torch
from judge import HELD_OUT, Judge, Verdicts, accuracy, draw_batches, look, look_at, to_tensor
from judge import measure as measure_judge
from making import Settings, make, make_mixed
from measures import edge_energy, frechet_distance, pairwise_rms, psnr, rms, through_vae
from PIL.Image import Image
from questions import PROMPTS, Question, tally
from scenes import STYLES, Scene, sample_scene
from torch import Tensor

from sdloop.models.components.load import Components

Size = tuple[int, int]
Numbers = dict[str, Any]

FRESH = HELD_OUT + (1 << 20)
"""The first seed of the drawn scenes that are drawn here and nowhere else."""

TESTED, NEEDED = 2000, 0.99
"""Drawn scenes that the judge is tested on at each size, and the share of right answers to each
question that it needs."""

REQUIRED = ("subject", "colour", "setting", "style", "count", "stilts")
"""What a judge must be able to tell. What else is done or worn is judged by a judge that can."""

RECONSTRUCTED = 256
"""Drawn scenes that the VAE encodes and decodes."""

SEEDS_PROMPT, SEEDS = "a red house in a park", range(8)
MIXED, MIXED_SEEDS = ("a rabbit", "a frog"), range(16)


def check_judge(judge: Judge, size: Size) -> dict[str, float]:
    """The judge's right answers on fresh drawn scenes; ends the program when they are too few."""
    shares = measure_judge(judge, range(FRESH, FRESH + TESTED), size)
    poor = [f"{name} of {shares[name]:.2%}" for name in REQUIRED if shares[name] < NEEDED]
    if poor:
        sys.exit(
            f"the judge must tell each attribute of {NEEDED:.0%} of drawn scenes, and of {TESTED} "
            f"held-out ones at {size[0]}x{size[1]} it told {', '.join(poor)}: "
            "train it for longer with classifier.py, or see its --confusions"
        )
    return shares


def pictures_of(
    components: Components, asked: Sequence[Question], settings: Settings
) -> list[Image]:
    """The pictures that these prompts make; the n-th has the seed n."""
    recipes = [settings.recipe(one.prompt, seed) for seed, one in enumerate(asked)]
    return make(components, recipes, settings.batch_size)


def generated(
    components: Components, judge: Judge, asked: Sequence[Question], settings: Settings
) -> Verdicts:
    """What the judge says of the pictures that these prompts make."""
    return look_at(judge, pictures_of(components, asked, settings))


def by_style(scenes: Sequence[Scene], values: Tensor) -> dict[str, float | None]:
    """The mean of the values, one for each scene, of each style; None where there is none of
    it."""
    means: dict[str, float | None] = {}
    for style in STYLES:
        places = [place for place, scene in enumerate(scenes) if scene.style == style]
        means[style] = values[places].mean().item() if places else None
    return means


def sharpness(scenes: Sequence[Scene], made: Tensor, drawn: Tensor) -> dict[str, float | None]:
    """The energy of the edges of made pictures over that of drawn ones of the same scenes, by
    style: 1 is as crisp as drawn."""
    ours, theirs = by_style(scenes, made), by_style(scenes, drawn)
    return {style: ours[style] and ours[style] / theirs[style] for style in STYLES}


def measure_sharpness(
    asked: Sequence[Question], images: Sequence[Image], size: Size
) -> dict[str, float | None]:
    """The sharpness of generated pictures, beside the scenes that their prompts describe."""
    scenes = [question.scene for question in asked]
    drawn = draw_batches(range(PROMPTS, PROMPTS + len(asked)), size)
    energies = torch.cat([edge_energy(some) for some in drawn])
    made = torch.cat([edge_energy(to_tensor([image])) for image in images])
    return sharpness(scenes, made, energies)


def measure_shares(
    asked: Sequence[Question], verdicts: Verdicts, trust: dict[str, float]
) -> Numbers:
    """The share of right pictures for each attribute, with its interval, but for one that the judge
    is right about too seldom: ``trust`` is what ``check_judge`` said."""
    shares = tally(asked, verdicts)
    return {
        name: share.to_dict() for name, share in shares.items() if trust.get(name, 1.0) >= NEEDED
    }


def measure_features(judge: Judge, verdicts: Verdicts, size: Size) -> Numbers:
    """The Frechet distance of generated pictures from as many drawn scenes, and the distance from
    the same of the very scenes that the prompts describe: a model that draws as well has that."""
    count = len(verdicts.features)
    reference, described = (
        look(judge, draw_batches(range(first, first + count), size)).features
        for first in (FRESH, PROMPTS)
    )
    return {
        "generated": frechet_distance(verdicts.features, reference),
        "drawn": frechet_distance(described, reference),
    }


def measure_vae(components: Components, judge: Judge, size: Size) -> Numbers:
    """The PSNR of drawn scenes that went through the VAE, of all and by style, their sharpness, and
    what the judge makes of them: generated pictures leave the same decoder, and can hardly be read
    better."""
    seeds = range(FRESH, FRESH + RECONSTRUCTED)
    scenes = [sample_scene(seed) for seed in seeds]
    drawn = list(draw_batches(seeds, size))
    made = list(through_vae(components.vae, iter(drawn)))
    decibels = torch.cat([psnr(*pair) for pair in zip(drawn, made, strict=True)])
    energies = (torch.cat([edge_energy(some) for some in each]) for each in (made, drawn))
    return {
        "psnr": decibels.mean().item(),
        "psnr_by_style": by_style(scenes, decibels),
        "sharpness": sharpness(scenes, *energies),
        "accuracy": accuracy(look(judge, iter(made)), scenes),
    }


def measure_seeds(components: Components, settings: Settings) -> Numbers:
    """How far the pictures of different seeds are apart on average, and two of one seed, in levels
    of 255."""
    recipes = [settings.recipe(SEEDS_PROMPT, seed) for seed in (*SEEDS, SEEDS[0])]
    pictures = to_tensor(make(components, recipes, len(recipes)))
    return {
        "prompt": SEEDS_PROMPT,
        "different_seeds": pairwise_rms(pictures[:-1]),
        "same_seed": rms(pictures[0], pictures[-1]),
    }


def measure_mix(components: Components, judge: Judge, settings: Settings) -> Numbers:
    """What the judge takes two prompts and their mixture for: over the same seeds, the share of
    pictures called each or neither, the mean probability of each, and how far the pictures are
    from those of the two prompts themselves, in levels of 255."""
    pictures = {
        share: make_mixed(components, MIXED, share, MIXED_SEEDS, settings) for share in (0, 0.5, 1)
    }
    pixels = {share: to_tensor(images) for share, images in pictures.items()}
    found = {}
    for share, images in pictures.items():
        numbers = subjects_seen(look_at(judge, images))
        for prompt, end in zip(MIXED, (0, 1), strict=True):
            numbers[f"distance from {prompt}"] = rms(pixels[share], pixels[end])
        found[f"{share:g}"] = numbers
    return found


def subjects_seen(verdicts: Verdicts) -> dict[str, float]:
    """The share of pictures called each of the two mixed subjects or something else, and the mean
    probability of each."""
    names = [prompt.split()[-1] for prompt in MIXED]
    called = verdicts.answers("subject")
    shares = {f"called {name}": called.count(name) / len(called) for name in names}
    shares["called neither"] = 1 - sum(shares.values())
    mean = verdicts.mean_probabilities("subject")
    return shares | {f"probability {name}": mean[name] for name in names}
