"""The judge: one small convolutional network that says what a picture shows.

It looks at pictures of any size: everything in a scene is measured against the shorter side, so
that side is brought to 64 pixels, and it averages over all places before it answers. It has seen
drawn scenes alone, never a generated picture: ``classifier.py`` trains it and ``evaluate.py`` asks
it.
"""

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from drawing import draw_scene
from faults import FACES, face_of, fault_of
from pen import WHOLE
from PIL import Image
from safetensors.torch import load_file, save_file
from scenes import COLOURS, COUNTS, DOINGS, SETTINGS, STYLES, SUBJECTS, Scene, sample_scene
from torch import Tensor, nn

Answer = str | int
ANSWERS: dict[str, tuple[Answer, ...]] = {
    "subject": tuple(SUBJECTS),
    "colour": tuple(COLOURS),
    "setting": tuple(SETTINGS),
    "style": tuple(STYLES),
    "count": tuple(COUNTS),
    "doing": tuple(DOINGS),
}
"""What is asked of a picture, by the names of a Scene's fields, and what may be answered."""

ALL_ANSWERS: dict[str, tuple[Answer, ...]] = ANSWERS | FACES
"""And what is asked of those whose face can be seen."""

SIDE = 64
"""Pixels of the shorter side that the judge looks at."""

CHANNELS = (24, 48, 96, 128)
HELD_OUT = 1 << 43
"""Seeds from here on are never trained on, by the judge or by what it judges."""

WEIGHTS, RECORD = "judge.safetensors", "judge.json"
BATCH = 64


def convolution(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    """Three by three, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Level(nn.Module):
    """Halve the side, then look again: two convolutions around a shortcut."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = convolution(inputs, outputs, stride=2)
        self.again = nn.Sequential(
            convolution(outputs, outputs, stride=1), convolution(outputs, outputs, stride=1)
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height / 2, width / 2)."""
        hidden = self.down(hidden)
        return hidden + self.again(hidden)


class Judge(nn.Module):
    """One trunk for all questions, and a linear head for each."""

    def __init__(self) -> None:
        super().__init__()
        first, *_, last = CHANNELS
        levels = [Level(*pair) for pair in itertools.pairwise(CHANNELS)]
        self.trunk = nn.Sequential(
            convolution(3, first, stride=2), convolution(first, first, stride=1), *levels
        )
        self.heads = nn.ModuleDict(
            {name: nn.Linear(last, len(choices)) for name, choices in ALL_ANSWERS.items()}
        )

    def features(self, pictures: Tensor) -> Tensor:
        """The trunk's average over all places, (batch, 128), of pictures in -1..1."""
        height, width = pictures.shape[2:]
        if min(height, width) != SIDE:
            scale = SIDE / min(height, width)
            size = round(height * scale), round(width * scale)
            pictures = F.interpolate(pictures, size, mode="area")
        pictures = pictures.contiguous(memory_format=torch.channels_last)
        features: Tensor = self.trunk(pictures).mean(dim=(2, 3))
        return features

    def answer(self, features: Tensor) -> dict[str, Tensor]:
        """Logits (batch, choices) of every question."""
        return {name: head(features) for name, head in self.heads.items()}

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        """Logits for pictures (batch, 3, height, width) in -1..1."""
        return self.answer(self.features(pictures))


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdicts:
    """What the judge says of some pictures: ``probabilities`` (pictures, choices) of every
    question, and the ``features`` (pictures, 128) that they were told from."""

    probabilities: dict[str, Tensor]
    features: Tensor

    def answers(self, name: str) -> list[Answer]:
        """The most probable choice for each picture."""
        choices = ALL_ANSWERS[name]
        return [choices[place] for place in self.probabilities[name].argmax(dim=1).tolist()]

    def mean_probabilities(self, name: str) -> dict[Answer, float]:
        """How probable each choice is on average."""
        mean = self.probabilities[name].mean(dim=0).tolist()
        return dict(zip(ALL_ANSWERS[name], mean, strict=True))


@torch.no_grad()
def look(judge: Judge, batches: Iterator[Tensor]) -> Verdicts:
    """The verdicts on batches of pictures in -1..1, in float32 and without batch statistics."""
    judge.eval()
    features = torch.cat([judge.features(pictures).float() for pictures in batches])
    logits = judge.answer(features)
    return Verdicts(
        probabilities={name: values.softmax(dim=1) for name, values in logits.items()},
        features=features,
    )


def to_tensor(pictures: Sequence[Image.Image]) -> Tensor:
    """Pictures of one size as float32 (batch, 3, height, width) in -1..1, as the VAE has them."""
    pixels = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def look_at(judge: Judge, pictures: Sequence[Image.Image]) -> Verdicts:
    """The verdicts on finished pictures of one size."""
    starts = range(0, len(pictures), BATCH)
    return look(judge, (to_tensor(pictures[start : start + BATCH]) for start in starts))


def draw_batches(
    seeds: range, size: tuple[int, int], batch: int = BATCH, *, spoiled: bool = False
) -> Iterator[Tensor]:
    """The scenes of these seeds, drawn at (width, height), a batch at a time; ``spoiled`` gives
    some of them the faults of ``faults.py``."""
    for start in range(0, len(seeds), batch):
        some = [(seed, sample_scene(seed)) for seed in seeds[start : start + batch]]
        faults = [fault_of(seed, scene) if spoiled else WHOLE for seed, scene in some]
        drawn = zip(some, faults, strict=True)
        yield to_tensor([draw_scene(scene, size, fault=fault) for (_, scene), fault in drawn])


def right(verdicts: Verdicts, scenes: Sequence[Scene]) -> dict[str, list[bool]]:
    """Whether each answer is what the scene has, question by question, and under "stilts" whether
    it is right that there are any or none."""
    answers = {
        name: [
            answer == getattr(scene, name)
            for answer, scene in zip(verdicts.answers(name), scenes, strict=True)
        ]
        for name in ANSWERS
    }
    seen = [doing == "stilts" for doing in verdicts.answers("doing")]
    stilts = [has == scene.stilts for has, scene in zip(seen, scenes, strict=True)]
    return answers | {"stilts": stilts}


def faces_right(
    verdicts: Verdicts, scenes: Sequence[Scene], faults: Sequence[str]
) -> dict[str, list[bool | None]]:
    """Whether each answer about a face is right; None where it cannot be asked."""
    faces = [face_of(*pair) for pair in zip(scenes, faults, strict=True)]
    return {
        name: [
            answer == face[name] if name in face else None
            for answer, face in zip(verdicts.answers(name), faces, strict=True)
        ]
        for name in FACES
    }


def accuracy(
    verdicts: Verdicts, scenes: Sequence[Scene], faults: Sequence[str] | None = None
) -> dict[str, float]:
    """The share of right answers to each question, NaN where it could not be asked."""
    faults = faults or [WHOLE] * len(scenes)
    answers = right(verdicts, scenes) | faces_right(verdicts, scenes, faults)
    shares = {}
    for name, each in answers.items():
        given = [answer for answer in each if answer is not None]
        shares[name] = sum(given) / len(given) if given else math.nan
    return shares


def measure(judge: Judge, seeds: range, size: tuple[int, int]) -> dict[str, float]:
    """The share of right answers about the drawn scenes of these seeds, some of them spoiled."""
    scenes = [sample_scene(seed) for seed in seeds]
    faults = [fault_of(*pair) for pair in zip(seeds, scenes, strict=True)]
    return accuracy(look(judge, draw_batches(seeds, size, spoiled=True)), scenes, faults)


def save_judge(judge: Judge, folder: Path, record: dict[str, object]) -> None:
    """Write the weights, the large ones in half precision, and beside them what is known of the
    judge."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: value.half() if value.ndim > 1 else value
        for name, value in judge.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in tensors.items()}, folder / WEIGHTS)
    (folder / WEIGHTS).chmod(0o644)
    text = json.dumps({"answers": ALL_ANSWERS, **record}, indent=2)
    (folder / RECORD).write_text(text + "\n", encoding="utf-8")


def load_judge(folder: Path) -> Judge:
    """The judge of a folder; raises ``ValueError`` when it learned other answers than the scenes
    have now."""
    record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    for name, choices in ALL_ANSWERS.items():
        learned = record["answers"].get(name)
        if learned != list(choices):
            raise ValueError(
                f"the judge in {folder} must know each {name} of scenes.py, {list(choices)}, "
                f"got {learned}: train it again with classifier.py"
            )
    judge = Judge()
    judge.load_state_dict({k: v.float() for k, v in load_file(folder / WEIGHTS).items()})
    return judge.eval()
