"""What is asked of a generated picture, and how the answers are counted.

A prompt is the caption of a held-out scene. Captions leave things out, and what a prompt did not
say cannot be drawn wrong: each picture is asked only about the attributes that its prompt names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from captions import told
from faults import FACES
from judge import ANSWERS, Verdicts, faces_right, right
from measures import Share, share_of
from pen import WHOLE
from scenes import Scene, sample_scene

PROMPTS = 1 << 41
"""The first seed of the scenes whose captions are prompts: no training draws them."""

STILTS = ("on stilts", "off stilts")
"""The two halves of one question: of the pictures that should have stilts the share that do, and
of those whose prompt says another thing or none the share that have no stilts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """A prompt, the scene that it describes, and the attributes that it names."""

    prompt: str
    scene: Scene
    said: frozenset[str]


def questions(count: int) -> list[Question]:
    """The first ``count`` held-out prompts."""
    asked = []
    for seed in range(PROMPTS, PROMPTS + count):
        scene = sample_scene(seed)
        prompt, said = told(seed, scene, 0)
        asked.append(Question(prompt=prompt, scene=scene, said=said))
    return asked


def tally(asked: Sequence[Question], verdicts: Verdicts) -> dict[str, Share]:
    """The share of right answers about each attribute, over the pictures whose prompt names it,
    ``STILTS`` and ``FACES``."""
    answers = right(verdicts, [question.scene for question in asked])
    shares = {
        name: share_of(
            [ok for ok, question in zip(answers[name], asked, strict=True) if name in question.said]
        )
        for name in ANSWERS
    }
    return shares | stilts(asked, verdicts) | faces(asked, verdicts)


def faces(asked: Sequence[Question], verdicts: Verdicts) -> dict[str, Share]:
    """The Shares of those whose eyes are all there, and who have one head, of the prompts for a
    lone subject that has them and is large enough to show it."""
    scenes = [question.scene for question in asked]
    seen = faces_right(verdicts, scenes, [WHOLE] * len(scenes))
    return {name: share_of([ok for ok in seen[name] if ok is not None]) for name in FACES}


def stilts(asked: Sequence[Question], verdicts: Verdicts) -> dict[str, Share]:
    """The Shares of ``STILTS``. Saying nothing counts as asking for none."""
    seen = [doing == "stilts" for doing in verdicts.answers("doing")]
    wanted = [question.scene.stilts and "doing" in question.said for question in asked]
    pairs = list(zip(seen, wanted, strict=True))
    return {
        STILTS[0]: share_of([has for has, wants in pairs if wants]),
        STILTS[1]: share_of([not has for has, wants in pairs if not wants]),
    }
