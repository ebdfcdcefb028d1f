"""File names from templates: no value can add folders or break the name."""

import os
from dataclasses import replace
from pathlib import Path, PurePath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdloop.errors import SettingError
from sdloop.metadata.names import DEFAULT_NAME, check_inside, expand_name, numbered
from sdloop.recipe.recipe import FIELDS, Recipe

RECIPE = Recipe(
    prompt="a frog on stilts",
    seed=4,
    guidance_scale=7.5,
    width=512,
    height=768,
    steps=25,
    scheduler="euler-a",
)

prompts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=400)


@pytest.mark.parametrize(
    ("template", "name"),
    [
        (DEFAULT_NAME, "a-frog-on-stilts-4.png"),
        ("exact.png", "exact.png"),
        ("/abs/../My Pictures/it's.png", "/abs/../My Pictures/it's.png"),
        ("out/{prompt}/{index:03d}.png", "out/a-frog-on-stilts/007.png"),
        ("{seed:05d}_{prompt:.6}.png", "00004_a-frog.png"),
        ("{width}x{height}-{steps}-{scheduler}-{guidance_scale}.png", "512x768-25-euler-a-7.5.png"),
        ("{{seed}}-{seed}.png", "{seed}-4.png"),
        ("{sigmas}.png", "_.png"),
        ("{original_size}.png", "_.png"),
        ("{model}//{seed}.png", "mini//4.png"),
        ("./.hidden-{seed}.png", "./.hidden-4.png"),
    ],
)
def test_templates(template: str, name: str) -> None:
    assert expand_name(template, RECIPE, index=7) == name


@pytest.mark.parametrize(
    ("prompt", "piece"),
    [
        ("../../etc/passwd", "etc-passwd"),
        ("/abs", "abs"),
        ("..", "_"),
        ("", "_"),
        ("a\nb\tc\x1b[31m", "a-b-c-31m"),
        ("東京 🐎", "東京-🐎"),
        ("-rf *", "rf"),
        (".hidden. ", "hidden"),
        ('a\\b:c<d>e"f|g?h*i', "a-b-c-d-e-f-g-h-i"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("console", "console"),
        ("{seed}", "seed"),
        ("\u202egnp.exe", "gnp.exe"),
    ],
)
def test_values_become_plain_pieces(prompt: str, piece: str) -> None:
    assert (
        expand_name("{prompt}.png", replace(RECIPE, prompt=prompt, emphasis="none"))
        == f"{piece}.png"
    )


@pytest.mark.parametrize(
    "image, piece",
    [
        ("a/sketch one.png", "sketch-one"),
        ("photo.tar.gz", "photo.tar"),
        ("-", "stdin"),
        (None, "_"),
    ],
)
def test_a_picture_gives_its_bare_name(image: str | None, piece: str) -> None:
    recipe = Recipe(prompt="x", seed=4, image=image)
    assert expand_name("{image}-{seed}.png", recipe) == f"{piece}-4.png"


def test_sizes_are_written_as_sizes() -> None:
    recipe = replace(RECIPE, original_size=(64, 32))
    assert expand_name("{original_size}.png", recipe) == "64x32.png"


@pytest.mark.parametrize("field", [*FIELDS, "index"])
def test_every_field_can_be_in_a_name(field: str) -> None:
    assert expand_name(f"{{{field}}}.png", RECIPE).endswith(".png")


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("{sede}.png", r"unknown \{sede\}: did you mean \{seed\}\?"),
        ("{}.png", "unknown"),
        ("{0}.png", "unknown"),
        ("{seed.__class__}.png", "unknown"),
        ("{seed[0]}.png", "unknown"),
        ("{seed!r}.png", "plain format"),
        ("{seed:{width}}.png", "plain format"),
        ("{seed:09999999999d}.png", "plain format"),
        ("{seed:.3}.png", "cannot format"),
        ("{seed:q}.png", "cannot format"),
        ("{prompt:d}.png", "cannot format"),
        ("{width:d}{vae:d}.png", "cannot format"),
        ("{seed.png", "is invalid"),
        ("seed}.png", "is invalid"),
        ("a\0.png", "NUL"),
        ("\ud800.png", "valid text"),
        ("x" * 256 + ".png", "at most 255 bytes"),
    ],
)
def test_broken_templates_are_refused(template: str, reason: str) -> None:
    with pytest.raises(SettingError, match=reason) as caught:
        expand_name(template, RECIPE)
    assert "\n" not in str(caught.value)


def test_a_name_that_is_no_text_is_the_users_business() -> None:
    name = os.fsdecode(b"\xff.png")
    assert expand_name(name, RECIPE) == name


@pytest.mark.parametrize("name", ["/etc/a.png", "../a.png", "a/../../b.png", ".."])
def test_names_from_files_stay_in_the_folder(name: str) -> None:
    with pytest.raises(SettingError, match="must stay inside the output folder"):
        check_inside(name)


def test_long_prompts_give_way_to_seed_and_suffix() -> None:
    for letter in "x東🐎":
        name = expand_name("{prompt}-{seed}.png", replace(RECIPE, prompt=letter * 1000))
        assert name.startswith(letter * 40)
        assert name.endswith(f"{letter}-4.png")
        assert 240 < len(name.encode()) <= 255


def test_the_longest_of_several_values_gives_way() -> None:
    recipe = replace(RECIPE, prompt="x" * 300, negative_prompt="y" * 100)
    name = expand_name("{prompt}-{negative_prompt}.png", recipe)
    assert name.endswith("-" + "y" * 100 + ".png")


@given(prompts, prompts, st.sampled_from(["{prompt}", "a/{prompt:.30}/{seed}", "{prompt}{model}"]))
def test_no_prompt_can_break_a_name(prompt: str, model: str, template: str) -> None:
    recipe = replace(RECIPE, prompt=prompt, emphasis="none", model=model)
    name = expand_name(template + ".png", recipe)
    assert name.count("/") == template.count("/")
    assert name.endswith(".png")
    assert check_inside(name) == name
    for part in PurePath(name).parts:
        assert part.isprintable()
        assert part == part.strip()
        assert len(os.fsencode(part)) <= 255
        assert not part.startswith((".", "-"))


@given(prompts)
def test_every_name_can_be_a_file(tmp_path_factory, prompt: str) -> None:
    folder = tmp_path_factory.getbasetemp() / "names"
    folder.mkdir(exist_ok=True)
    path = folder / expand_name("{prompt}.png", replace(RECIPE, prompt=prompt, emphasis="none"))
    for number in (1, 99_999):
        numbered(path, number).write_bytes(b"")
        assert numbered(path, number).parent == folder
        numbered(path, number).unlink()


def test_numbers_go_before_the_suffix_and_fit() -> None:
    assert numbered(Path("a/b.c.png"), 1) == Path("a/b.c.png")
    assert numbered(Path("a/b.c.png"), 12) == Path("a/b.c-12.png")
    long = numbered(Path("東" * 83 + "x.png"), 2)
    assert len(os.fsencode(long)) <= 255
    assert long.name.endswith("東-2.png")


def test_standard_output_is_no_file() -> None:
    with pytest.raises(SettingError, match="output must be a file name, because the"):
        expand_name("-", Recipe(prompt="a cat", seed=4))
