"""What a person sees first in a subject: that an eye is missing, or a head; and how a judge learns
to see it.

No prompt asks for two eyes, so no attribute of a scene says so. A judge that was shown sound
subjects alone would say "two" to every rabbit. So it is shown spoiled ones among them.
"""

import random

from pen import EYELESS, HEADLESS, ONE_EYED, TWO_HEADED, WHOLE
from scenes import Scene
from subjects import SUBJECTS

FACES: dict[str, tuple[str, ...]] = {"eyes": ("all", "missing"), "head": ("one", "none or two")}
"""What a judge is asked about a subject's soundness, the right answer first."""

SPOILED = 0.35
"""The share of a judge's scenes, of those that can be, in which something is wrong."""


def possible_faults(scene: Scene) -> list[str]:
    """The faults that can be seen in a scene. Those of one of three, or in blocks as large as an
    eye, cannot."""
    if scene.count > 1 or scene.style == "pixel":
        return []
    subject, faults = SUBJECTS[scene.subject], []
    if subject.eyes:
        faults.append(EYELESS)
    if subject.eyes == 2:
        faults.append(ONE_EYED)
    if subject.profile:
        faults += [HEADLESS, TWO_HEADED]
    return faults


def fault_of(seed: int, scene: Scene) -> str:
    """How the judge's scene of a seed is spoiled, if it is."""
    rng, faults = random.Random(f"fault {seed}"), possible_faults(scene)
    return rng.choice(faults) if faults and rng.random() < SPOILED else WHOLE


def face_of(scene: Scene, fault: str = WHOLE) -> dict[str, str]:
    """The right answers about a scene that is drawn with this fault, to the questions that can be
    asked about it. Who has no head, or two, is not asked for eyes."""
    faults, answers = possible_faults(scene), {}
    if EYELESS in faults and fault not in (HEADLESS, TWO_HEADED):
        answers["eyes"] = FACES["eyes"][fault in (EYELESS, ONE_EYED)]
    if HEADLESS in faults:
        answers["head"] = FACES["head"][fault in (HEADLESS, TWO_HEADED)]
    return answers
