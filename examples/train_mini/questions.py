"""What is asked of a generated picture, and how the answers are counted.

A prompt is the caption of a held-out scene. Captions leave things out, and what a prompt did not
say cannot be drawn wrong: each picture is asked only about the attributes that its prompt names.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from captions import told
from judge import ANSWERS, Verdicts, right
from measures import Share, share_of
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
    and ``STILTS``."""
    answers = right(verdicts, [question.scene for question in asked])
    shares = {
        name: share_of(
            [ok for ok, question in zip(answers[name], asked, strict=True) if name in question.said]
        )
        for name in ANSWERS
    }
    return shares | stilts(asked, verdicts)


def stilts(asked: Sequence[Question], verdicts: Verdicts) -> dict[str, Share]:
    """The Shares of ``STILTS``. Saying nothing counts as asking for none."""
    seen = [doing == "stilts" for doing in verdicts.answers("doing")]
    wanted = [question.scene.stilts and "doing" in question.said for question in asked]
    pairs = list(zip(seen, wanted, strict=True))
    return {
        STILTS[0]: share_of([has for has, wants in pairs if wants]),
        STILTS[1]: share_of([not has for has, wants in pairs if not wants]),
    }
