"""The table of subjects: how each is drawn, and where its belongings go."""

from collections.abc import Callable
from dataclasses import dataclass

import animals
import things
from pen import Coat, Pen, Point


@dataclass(frozen=True, kw_only=True, slots=True)
class Subject:
    """``colour`` is the one it has most often, ``head`` the place a hat sits on, ``mouth`` where a
    leaf is eaten and ``top`` the highest point, in its unit box; what has no mouth eats nothing.
    ``eyes`` is how many are seen, ``middle`` the place between two, and ``profile`` says that its
    head is at one end."""

    draw: Callable[[Pen, Coat], None]
    colour: str
    head: Point
    mouth: Point | None = None
    top: float = 1.0
    eyes: int = 2
    middle: float = 0.0
    profile: bool = False


A, T = animals, things

SUBJECTS: dict[str, Subject] = {
    "frog": Subject(draw=A.frog, colour="green", head=(0, 0.80), mouth=(-0.16, 0.44)),
    "rabbit": Subject(draw=A.rabbit, colour="brown", head=(0, 0.68), mouth=(-0.08, 0.36)),
    "snake": Subject(draw=A.snake, colour="green", head=(-0.10, 0.95), mouth=(-0.30, 0.76), eyes=1),
    "giraffe": Subject(
        draw=A.giraffe,
        colour="yellow",
        head=(-0.26, 0.93),
        mouth=(-0.42, 0.80),
        eyes=1,
        profile=True,
    ),
    "cat": Subject(draw=A.cat, colour="orange", head=(0, 0.84), mouth=(-0.08, 0.46)),
    "dog": Subject(draw=A.dog, colour="brown", head=(0, 0.92), mouth=(-0.10, 0.46)),
    "mouse": Subject(draw=A.mouse, colour="white", head=(0, 0.68), mouth=(-0.08, 0.36)),
    "leopard": Subject(
        draw=A.leopard,
        colour="yellow",
        head=(-0.32, 0.78),
        mouth=(-0.42, 0.46),
        top=0.84,
        middle=-0.32,
        profile=True,
    ),
    "otter": Subject(draw=A.otter, colour="brown", head=(0, 0.95), mouth=(-0.07, 0.64)),
    "parrot": Subject(draw=A.parrot, colour="red", head=(-0.06, 0.95), mouth=(-0.38, 0.66), eyes=1),
    "snail": Subject(
        draw=A.snail,
        colour="purple",
        head=(0.10, 0.74),
        mouth=(-0.46, 0.10),
        top=0.76,
        middle=-0.37,
    ),
    "fish": Subject(
        draw=A.fish, colour="blue", head=(-0.10, 0.60), mouth=(-0.46, 0.20), top=0.80, eyes=1
    ),
    "house": Subject(draw=T.house, colour="red", head=(0, 0.93), eyes=0),
    "castle": Subject(draw=T.castle, colour="pink", head=(0, 0.54), top=1.06, eyes=0),
    "tree": Subject(draw=T.tree, colour="green", head=(0, 0.97), eyes=0),
    "person": Subject(draw=T.person, colour="blue", head=(0, 0.98), mouth=(-0.08, 0.70)),
    "robot": Subject(draw=T.robot, colour="blue", head=(0, 0.88)),
    "boat": Subject(draw=T.boat, colour="red", head=(0.02, 0.98), eyes=0),
}
