"""The embedded model's training data: scenes, their drawings, and their captions."""

import random
import re
import time
from dataclasses import replace
from itertools import combinations

import captions
import numpy as np
import pytest
import words
from drawing import draw_scene, mirror
from scenes import COLOURS, COUNTS, DOINGS, SETTINGS, STYLES, Scene, can, sample_scene
from subjects import SUBJECTS

NATIVE = (128, 128)
FROG = Scene(
    subject="frog",
    colour="red",
    setting="park",
    style="cartoon",
    count=1,
    doing="nothing",
    layout=7,
)


def pixels(scene: Scene, size: tuple[int, int] = NATIVE) -> np.ndarray:
    """Float pixels of 0..1, (height, width, 3)."""
    return np.asarray(draw_scene(scene, size), dtype=np.float32) / 255


def distance(one: Scene, other: Scene) -> float:
    return float(np.abs(pixels(one) - pixels(other)).mean())


def test_a_scene_is_a_pure_function_of_its_seed() -> None:
    scenes = [sample_scene(seed) for seed in range(60)]
    assert scenes == [sample_scene(seed) for seed in range(60)]
    drawn = [draw_scene(scene, NATIVE).tobytes() for scene in scenes]
    assert drawn == [draw_scene(scene, NATIVE).tobytes() for scene in scenes]
    assert len(set(drawn)) == 60


def test_the_world_is_as_rich_as_its_card_says() -> None:
    assert len(SUBJECTS) >= 16
    assert len(set(COLOURS) - {"wooden"}) == 10
    assert (len(SETTINGS), len(STYLES), sorted(COUNTS), len(DOINGS)) == (8, 4, [1, 2, 3], 6)
    seen = [sample_scene(seed) for seed in range(8000)]
    for subject in SUBJECTS:
        mine = [scene for scene in seen if scene.subject == subject]
        assert {scene.colour for scene in mine} == set(COLOURS)
        assert {scene.setting for scene in mine} == set(SETTINGS)
        assert {scene.style for scene in mine} == set(STYLES)
        assert {scene.count for scene in mine} == set(COUNTS)
        assert {scene.doing for scene in mine} == {doing for doing in DOINGS if can(subject, doing)}


def test_who_has_a_head_at_one_end_looks_to_the_left() -> None:
    def sides(subject: str) -> set[int]:
        scene = replace(FROG, subject=subject)
        return {mirror(scene, random.Random(seed)) for seed in range(20)}

    assert sides("giraffe") == sides("leopard") == {1}
    assert sides("frog") == {1, -1}


@pytest.mark.parametrize("size", [(128, 128), (192, 128), (128, 192), (64, 64)])
def test_scenes_are_drawn_at_any_proportions(size: tuple[int, int]) -> None:
    for setting in SETTINGS:
        picture = draw_scene(replace(FROG, setting=setting, count=3), size)
        assert (picture.size, picture.mode) == (size, "RGB")
        edges = np.asarray(picture)[[0, -1]].reshape(-1, 3)
        assert edges.any(axis=1).mean() > 0.9, "canvas left unpainted"


@pytest.mark.parametrize(
    ("field", "choices"),
    [("subject", SUBJECTS), ("colour", COLOURS), ("setting", SETTINGS), ("style", STYLES),
     ("count", COUNTS), ("doing", DOINGS)],
)  # fmt: skip
def test_every_choice_of_every_attribute_looks_different(field: str, choices: dict) -> None:
    looks = [replace(FROG, **{field: choice}) for choice in choices]
    closest = min(distance(one, other) for one, other in combinations(looks, 2))
    assert closest > {"style": 0.05, "setting": 0.08}.get(field, 0.008)


def test_each_style_leaves_its_mark_on_the_pixels() -> None:
    wall = {
        style: pixels(replace(FROG, setting="plain", style=style))[2:34, 2:20] for style in STYLES
    }
    assert np.ptp(wall["cartoon"], axis=(0, 1)).max() == 0
    assert wall["watercolour"].std(axis=(0, 1)).min() > 0.005
    assert wall["pencil"].std(axis=(0, 1)).max() > 0.01
    assert np.array_equal(wall["pencil"][:16], wall["pencil"][16:]), "strokes repeat"
    for seed in range(20):
        looks = {style: pixels(replace(sample_scene(seed), style=style)) for style in STYLES}
        blocks = looks["pixel"].reshape(32, 4, 32, 4, 3)
        assert (blocks == blocks[:, :1, :, :1]).all()
        saturation = {style: np.ptp(look, axis=2).mean() for style, look in looks.items()}
        assert saturation["pencil"] < 0.75 * saturation["cartoon"]
        assert saturation["watercolour"] < 0.95 * saturation["cartoon"]


def test_drawing_a_scene_is_quick_enough_to_feed_a_gpu() -> None:
    started = time.process_time()
    for seed in range(200):
        draw_scene(sample_scene(seed), NATIVE)
    assert (time.process_time() - started) / 200 < 0.006


def choices_named(text: str, names: dict[str, str]) -> set[str]:
    """The choices of which some wording stands in the text."""
    return {choice for wording, choice in names.items() if re.search(rf"\b{wording}\b", text)}


SUBJECT_WORDS = {form: one for one, many in words.PLURAL.items() for form in (one, many)} | {
    form: one for one, forms in words.NICKNAMES.items() for form in forms
}
COLOUR_WORDS = {colour: colour for colour in COLOURS} | {"wood": "wooden"}
SETTING_WORDS = {text: setting for setting, texts in words.WHERE.items() for text in texts}
NUMBER_WORDS = {word: str(count) for count, word in words.NUMBERS.items()}


def test_captions_mention_only_what_is_drawn() -> None:
    for seed in range(3000):
        scene = sample_scene(seed)
        text, said = captions.told(seed, scene, 0)
        doing = text if scene.doing != "tree" else re.sub(r"\b(a|big) tree\b", "", text)
        assert choices_named(doing, SUBJECT_WORDS) == {scene.subject}, text
        assert choices_named(text, COLOUR_WORDS) == (
            {scene.colour} & said_of(scene, said, "colour")
        )
        settings = choices_named(text, SETTING_WORDS)
        assert (scene.setting in settings) == ("setting" in said), text
        assert choices_named(text, NUMBER_WORDS) <= {str(scene.count)}, text
        assert ("stilts" in text) == scene.stilts
        assert (" hat" in text) == (scene.doing == "hat")
        assert ("umbrella" in text) == (scene.doing == "umbrella")


def said_of(scene: Scene, said: frozenset[str], field: str) -> set[str]:
    return {getattr(scene, field)} if field in said else set()


def test_only_defaults_are_left_unsaid() -> None:
    for seed in range(3000):
        scene = sample_scene(seed)
        said = captions.told(seed, scene, 0)[1]
        assert {"subject", "doing"} <= said
        assert "style" in said or scene.style == "cartoon"
        assert "count" in said or scene.count > 1


def test_captions_leave_parts_out_and_add_words_that_mean_nothing() -> None:
    texts = [captions.caption_of(seed, sample_scene(seed), 0) for seed in range(20000)]
    assert {"frogs on stilts", "a frog"} <= set(texts)
    empty = [text for text in texts if text.endswith(words.PRAISE)]
    assert 0.05 < len(empty) / len(texts) < 0.3
    unheard = captions.unheard(random.Random(0))
    assert unheard not in words.PRAISE
    assert len({len(text.split()) for text in texts}) > 12


def test_a_second_telling_words_the_same_scene_anew() -> None:
    tellings = {captions.caption_of(5, sample_scene(5), telling) for telling in range(20)}
    assert len(tellings) > 10
    assert captions.caption_of(5, sample_scene(5), 3) == captions.caption_of(5, sample_scene(5), 3)


def test_the_prompts_to_try_speak_of_this_world() -> None:
    known = {word for text in every_wording() for word in text.split()}
    assert len(words.PROMPTS) == 10
    for prompt in words.PROMPTS:
        assert set(prompt.split()) <= known, prompt
        assert choices_named(prompt, SUBJECT_WORDS)


def every_wording() -> list[str]:
    tables = (words.WHERE, words.DOES, words.DO, words.STYLED)
    listed = [text for table in tables for texts in table.values() for text in texts]
    return [*listed, *SUBJECT_WORDS, *COLOURS, *NUMBER_WORDS, "a wooden carving of", "an"]


def test_the_vocabulary_lists_every_choice() -> None:
    vocabulary = captions.vocabulary()
    assert vocabulary["subjects"] == list(SUBJECTS)
    assert vocabulary["colours"] == list(COLOURS)
    sizes = {kind: len(vocabulary[kind]) for kind in ("settings", "styles", "doing", "counts")}
    assert sizes == {"settings": 8, "styles": 4, "doing": 5, "counts": 3}
