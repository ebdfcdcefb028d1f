"""Draw a scene: a backdrop, then its subjects from left to right with what they do and have.

Drawn large and averaged down, because Pillow's shapes have hard edges; the style comes last.
"""

import random
from dataclasses import replace

import numpy as np
from backdrops import BACKDROPS, Sheet
from belongings import hat, leaf, shade_tree, stilts, umbrella
from pen import WHOLE, Pen, as_wood, coat
from PIL import Image, ImageDraw
from scenes import COLOURS, Scene
from styles import STYLES, Style, tiled
from subjects import SUBJECTS

CANVAS = 256
"""Pixels that the shorter side is drawn with, at least."""

THINNEST = 0.012
"""Of an outline, as a share of the shorter side: a pixel and a half of 128."""

ROOM = {"nothing": 1.0, "stilts": 0.76, "leaf": 0.96, "hat": 0.88, "tree": 0.74, "umbrella": 0.80}
"""How large a lone subject is drawn, so that what it has fits above or below it."""

VEINS = np.repeat([1.0, 1.0, 1.0, 0.84], 4).astype(np.float32)[:, None].repeat(16, axis=1)
"""The veins of wood, in canvas pixels: a dark one every sixteen."""


def places(scene: Scene, rng: random.Random) -> list[tuple[float, float]]:
    """Where each subject stands and how large it is: (centre as a share of the width, side of its
    box as a share of the shorter side)."""
    size = {1: 0.72 * ROOM[scene.doing], 2: 0.48, 3: 0.36}[scene.count]
    centres = {1: (0.5,), 2: (0.27, 0.73), 3: (0.185, 0.5, 0.815)}[scene.count]
    jitter = {1: 0.06, 2: 0.03, 3: 0.01}[scene.count]
    return [(x + rng.uniform(-jitter, jitter), size * rng.uniform(0.94, 1.04)) for x in centres]


def carve(image: Image.Image, before: Image.Image) -> None:
    """Put veins on what was drawn since ``before``, in place."""
    pixels = np.asarray(image)
    drawn = (pixels != np.asarray(before)).any(axis=2, keepdims=True)
    veined = pixels * np.where(drawn, tiled(VEINS, image.size), 1)
    image.paste(Image.fromarray(veined.astype(np.uint8), "RGB"))


def draw_subject(scene: Scene, pen: Pen, image: Image.Image) -> None:
    """One subject, in wood if it is a carving, with what it eats or wears."""
    subject, wooden = SUBJECTS[scene.subject], scene.colour == "wooden"
    before = image.copy() if wooden else image
    subject.draw(replace(pen, tint=as_wood) if wooden else pen, coat(COLOURS[scene.colour]))
    if wooden:
        carve(image, before)
    if scene.doing == "leaf" and subject.mouth:
        leaf(pen, subject.mouth)
    if scene.doing == "hat":
        hat(pen, subject.head)


def draw_figure(scene: Scene, pen: Pen, image: Image.Image, lift: float) -> None:
    """A subject with what is above or below it; ``lift`` is the stilts' height in canvas
    pixels."""
    if scene.stilts:
        pen = replace(pen, ground=pen.ground - lift)
        stilts(pen, lift / pen.unit)
    if scene.doing == "umbrella":
        umbrella(pen, SUBJECTS[scene.subject].top)
    draw_subject(scene, pen, image)


def sheet_on(image: Image.Image) -> Sheet:
    """The whole of an image, to be drawn on."""
    return Sheet(draw=ImageDraw.Draw(image), width=image.width, height=image.height)


def draw_backdrop(scene: Scene, canvas: tuple[int, int], rng: random.Random) -> Image.Image:
    """The scene's setting alone, on a canvas of (width, height)."""
    image = Image.new("RGB", canvas)
    BACKDROPS[scene.setting](sheet_on(image), rng)
    return image


def mirror(scene: Scene, rng: random.Random) -> int:
    """1 for a subject as it is drawn, -1 for its mirror image.

    One whose head is at one end always looks to the left: a small model that is left the choice
    gives one leopard in five a head at each end.
    """
    either = rng.choice((-1, 1))
    return 1 if SUBJECTS[scene.subject].profile else either


def draw_figures(
    scene: Scene, image: Image.Image, style: Style, rng: random.Random, fault: str = WHOLE
) -> None:
    """The scene's subjects with what they do and have, in front of its backdrop."""
    sheet = sheet_on(image)
    pen = Pen(
        draw=sheet.draw, left=sheet.width / 2, unit=sheet.side, ink=style.ink, weight=style.weight,
        ground=sheet.height - sheet.side * rng.uniform(0.06, 0.10), night=scene.setting == "night",
        thinnest=THINNEST * sheet.side, fault=fault, blind_from=SUBJECTS[scene.subject].middle,
    )  # fmt: skip
    if scene.doing == "tree":
        shade_tree(pen, side=rng.choice((-1, 1)))
    for centre, share in places(scene, rng):
        flip, lift = mirror(scene, rng), sheet.side * rng.uniform(0.26, 0.32)
        own = replace(pen, left=centre * sheet.width, unit=sheet.side * share, flip=flip)
        draw_figure(scene, own, image, lift)


def draw_flat(
    scene: Scene, canvas: tuple[int, int], style: Style, rng: random.Random, fault: str
) -> Image.Image:
    """The whole scene before its style is applied, on a canvas of (width, height)."""
    image = draw_backdrop(scene, canvas, rng)
    draw_figures(scene, image, style, rng, fault)
    return image


def draw_scene(scene: Scene, size: tuple[int, int], *, fault: str = WHOLE) -> Image.Image:
    """The scene as an RGB picture of (width, height) pixels; a pure function of its arguments. A
    ``fault`` (of those in ``pen``) spoils its subjects, for a judge to learn from."""
    rng, style = random.Random(scene.layout), STYLES[scene.style]
    zoom = max(1, round(CANVAS / min(size)))
    canvas = size[0] * zoom, size[1] * zoom
    return style.finish(draw_flat(scene, canvas, style, rng, fault).reduce(zoom), rng)
