"""sdloop inpaint with tiny models, in the test process: flags and written files."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import gradient
from helpers.tiny import save_diffusers_folder, tiny_inpaint
from PIL import Image, ImageDraw

from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe

COMMAND = Command("inpaint")
inpaint, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused

BOX = (10, 6, 30, 20)  # left, top, right, bottom, the last two inside


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in a folder with a photo and a mask in it."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("photo.png")
    box_mask().save("mask.png")
    return folder


def box_mask(size: tuple[int, int] = (48, 32), level: int = 255) -> Image.Image:
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rectangle(BOX, fill=level)
    return mask


def changed(name: str, original: Image.Image | None = None) -> np.ndarray:
    """Where a picture differs from the photo."""
    made = np.asarray(Image.open(name).convert("RGB"))
    return (made != np.asarray(original or gradient())).any(axis=2)


def test_one_picture_whose_file_says_how_to_remake_it(tiny_model: Path) -> None:
    assert make("photo.png", "a hat", "--mask", "mask.png", "--seed", "4") == ["photo-a-hat-4.png"]
    recipe = read_record(Path("photo-a-hat-4.png")).recipe
    assert recipe is not None
    assert recipe == Recipe(
        prompt="a hat", seed=4, model=str(tiny_model), width=40, height=26, steps=2,
        guidance_scale=7.5, scheduler="pndm", image="photo.png",
        image_sha256=hashlib.sha256(Path("photo.png").read_bytes()).hexdigest(),
        mask="mask.png", mask_sha256=hashlib.sha256(Path("mask.png").read_bytes()).hexdigest(),
        strength=1.0, resize="back", background="white",
    )  # fmt: skip
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert make("--from-file", "again.txt", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels("photo-a-hat-4.png")


def test_outside_of_the_mask_the_pixels_are_the_originals_exactly() -> None:
    """At the photo's own size, which is none that the model could work on."""
    (name,) = make("photo.png", "a hat", "--mask", "mask.png", "--seed", "4")
    assert Image.open(name).size == (48, 32)
    where = changed(name)
    assert where.any()
    assert not where[np.asarray(box_mask()) == 0].any()


def test_with_a_size_the_photo_is_brought_to_it_first() -> None:
    arguments = ["--mask", "mask.png", "--seed", "4", "--size", "48x32"]
    make("photo.png", "a hat", *arguments, "-o", "kept.png")
    make("photo.png", "a hat", *arguments, "--no-keep", "-o", "raw.png")
    assert read_record(Path("kept.png")).recipe.resize == "crop"
    outside = np.asarray(box_mask()) == 0
    assert not changed("kept.png")[outside].any()
    assert changed("raw.png")[outside].mean() > 0.9
    inside = ~outside
    kept, raw = (np.asarray(Image.open(name)) for name in ("kept.png", "raw.png"))
    assert np.array_equal(kept[inside], raw[inside])


def test_a_jpeg_that_cannot_keep_them_says_so() -> None:
    box_mask().save("mask.png")
    flags = ("photo.png", "a cat", "--mask", "mask.png", "--seed", "4", "--dry-run")
    told = inpaint(*flags, "-o", "x.jpg").stderr
    assert "x.jpg: a JPEG changes all pixels a little" in told
    assert "JPEG" not in inpaint(*flags, "-o", "x.webp").stderr
    assert "JPEG" not in inpaint(*flags, "-o", "x.jpg", "--no-keep").stderr


def test_an_inverted_mask_paints_the_rest() -> None:
    make("photo.png", "a hat", "--mask", "mask.png", "--invert-mask", "--seed", "4", "-o", "a.png")
    where = changed("a.png")
    assert where.any()
    assert not where[np.asarray(box_mask()) == 255].any()


def test_a_mask_in_grey_and_a_soft_one_change_in_part() -> None:
    box_mask(level=100).save("grey.png")
    for mask in ("mask.png", "grey.png"):
        make(
            "photo.png",
            "a hat",
            "--mask",
            mask,
            "--size",
            "48x32",
            "--seed",
            "4",
            "-o",
            f"of-{mask}",
        )
    assert pixels("of-mask.png") != pixels("of-grey.png")
    assert not changed("of-grey.png")[np.asarray(box_mask()) == 0].any()
    flags = ["--mask-blur", "3", "--size", "48x32", "--seed", "4"]
    make("photo.png", "a hat", "--mask", "mask.png", *flags, "-o", "soft.png")
    assert changed("soft.png")[np.asarray(box_mask()) == 0].any()
    assert not changed("soft.png")[:, 45:].any()
    assert "Mask blur: 3" in Image.open("soft.png").info["parameters"]


def test_transparency_as_the_mask() -> None:
    photo = gradient().convert("RGBA")
    photo.putalpha(Image.eval(box_mask(), lambda level: 255 - level))
    photo.save("cut-out.png")
    make("cut-out.png", "a hat", "--mask", "alpha", "--seed", "4", "-o", "filled.png")
    outside = np.asarray(box_mask()) == 0
    assert not changed("filled.png")[outside].any()
    assert changed("filled.png")[~outside].mean() > 0.9
    assert refused("photo.png", "a hat", "--mask", "alpha", code=3) == (
        "'photo.png' has no transparent pixels: as a mask it marks nothing to paint"
    )


def test_a_margin_looks_at_the_masks_surroundings_alone() -> None:
    big = gradient(480, 320)
    big.save("big.png")
    mask = Image.new("L", big.size, 0)
    ImageDraw.Draw(mask).ellipse((200, 100, 240, 140), fill=255)
    mask.save("eye.png")
    arguments = ["big.png", "an eye", "--mask", "eye.png", "--seed", "4"]
    (recipe,) = plan(*arguments, "--mask-margin", "12")
    assert (recipe["width"], recipe["height"]) == (32, 32)  # 65x65 around the eye
    assert (plan(*arguments)[0]["width"], plan(*arguments)[0]["height"]) == (40, 26)
    make(*arguments, "--mask-margin", "12", "-o", "near.png")
    make(*arguments, "-o", "whole.png")
    for name in ("near.png", "whole.png"):
        assert not changed(name, big)[np.asarray(mask) == 0].any()
    assert pixels("near.png") != pixels("whole.png")


def test_the_masks_of_the_loop_and_of_the_file_are_one() -> None:
    """What is not painted is what the model works from: another photo there, another hat."""
    photo = gradient()
    ImageDraw.Draw(photo).rectangle((34, 0, 47, 31), fill="red")
    photo.save("other.png")
    flags = ["a hat", "--mask", "mask.png", "--seed", "4"]
    names = [make(name, *flags)[0] for name in ("photo.png", "other.png")]
    one, other = (np.asarray(Image.open(name)) for name in names)
    assert (one != other)[BOX[1] : BOX[3], BOX[0] : BOX[2]].any()


def test_what_runs_is_told() -> None:
    result = inpaint("photo.png", "a hat", "--mask", "mask.png", "--seed", "4", "--dry-run")
    assert result.stderr == "sdloop: strength 1: 25 of 25 steps, at 40x26\n"


@pytest.mark.parametrize(
    ("flags", "complaint"),
    [
        ([], "mask must be given, as in: sdloop inpaint photo.png"),
        (["--mask", ""], "mask must name a file, got ''"),
        (["--mask", "mask.png", "--mask-blur", "-1"], "mask_blur must be between 0 and 1000"),
        (["--mask", "mask.png", "--mask-blur", "nan"], "mask_blur must be a finite number"),
        (["--mask", "mask.png", "--mask-margin", "-1"], "mask_margin must be at least 0, got -1"),
        (["--mask", "mask.png", "--mask-margin", "4", "--resize", "pad"], "mask_margin needs"),
        (["--mask", "mask.png", "--strength", "0.01"], "strength must be at least 0.04"),
        (["--mask", "-"], "only one input can be"),
    ],
    ids=str,
)  # fmt: skip
def test_bad_settings_are_refused(flags: list[str], complaint: str) -> None:
    image = "-" if flags == ["--mask", "-"] else "photo.png"
    assert refused(image, "a hat", *flags, stdin=b"").startswith(complaint)


@pytest.mark.parametrize(
    ("mask", "complaint"),
    [
        (
            Image.new("L", (48, 32), 0),
            "'bad.png' is completely black: as a mask it marks nothing to paint",
        ),
        (Image.new("L", (32, 48), 255), "'bad.png' is 32x48 and 'photo.png' 48x32: a mask must"),
        (None, "cannot read 'bad.png': No such file"),
    ],
)
def test_bad_masks_are_refused(mask: Image.Image | None, complaint: str) -> None:
    if mask is not None:
        mask.save("bad.png")
    assert refused("photo.png", "a hat", "--mask", "bad.png", code=3).startswith(complaint)


def test_a_mask_of_labels_is_painted_as_a_white_one() -> None:
    flags = ("--seed", "4", "--steps", "2")
    box_mask(level=1).save("labels.png")
    result = inpaint("photo.png", "a hat", "--mask", "labels.png", *flags, "-o", "labels-out.png")
    assert result.stderr.count("'labels.png' has two values, 0 and 1: all that is 1 is") == 1
    make("photo.png", "a hat", "--mask", "mask.png", "--seed", "4", "-o", "white-out.png")
    assert pixels("labels-out.png") == pixels("white-out.png")


def test_a_white_mask_inverted_paints_nothing() -> None:
    Image.new("L", (48, 32), 255).save("white.png")
    message = refused("photo.png", "a hat", "--mask", "white.png", "--invert-mask", code=3)
    assert (
        message
        == "'white.png' is completely black when inverted: as a mask it marks nothing to paint"
    )


def test_a_mask_of_another_size_and_the_same_proportions_is_enlarged() -> None:
    box_mask().resize((24, 16)).save("small.png")
    make("photo.png", "a hat", "--mask", "small.png", "--seed", "4", "-o", "a.png")
    assert changed("a.png")[8:18, 12:28].any()
    assert not changed("a.png")[:, 40:].any()


def test_another_mask_than_the_recipes_is_refused() -> None:
    (recipe,) = plan("photo.png", "a hat", "--mask", "mask.png", "--seed", "4")
    Path("plan.txt").write_text(json.dumps(recipe))
    box_mask(level=254).save("mask.png")
    message = refused("--from-file", "plan.txt", code=3)
    assert "'mask.png' is not the mask that the recipe was made with: its sha256 is" in message


def test_what_is_only_for_masks_is_refused_without_one() -> None:
    lines = '{"prompt": "a hat", "image": "photo.png", "no_keep": true}\n'
    message = Command("img2img").refused("--from-file", "-", stdin=lines)
    assert "no_keep is for inpainting, and no mask is given" in message
    lines = '{"prompt": "a hat", "image": "photo.png", "resize": "back"}\n'
    message = Command("img2img").refused("--from-file", "-", stdin=lines)
    assert "resize 'back' needs a mask, and no mask is given" in message


def test_several_photos_seeds_and_masks_in_a_batch_are_as_each_alone() -> None:
    gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("mirror.png")
    flags = ["a hat", "--mask", "mask.png"]
    several = ["-i", "photo.png", "-i", "mirror.png", *flags, "--seed", "4,5"]
    names = make(*several, "--batch-size", "4", "-o", "{image}-{seed}.png")
    assert len(names) == len(set(names)) == 4
    for name in names:
        source, seed = Path(name).stem.split("-")
        (alone,) = make(f"{source}.png", *flags, "--seed", seed, "-o", f"alone-{name}")
        one, other = (np.asarray(Image.open(n)).astype(int) for n in (name, alone))
        assert abs(one - other).max() <= 1


@pytest.mark.slow
def test_in_a_process_of_its_own() -> None:
    flags = ["a hat", "--mask", "mask.png", "--seed", "4", "--steps", "2", "--json"]
    command = [sys.executable, "-m", "sdloop", "inpaint", "photo.png", *flags]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    line = json.loads(result.stdout)
    assert (line["width"], line["height"]) == Image.open(line["path"]).size == (48, 32)
    make("photo.png", "a hat", "--mask", "mask.png", "--seed", "4", "-o", "again.png")
    assert pixels("again.png") == pixels(line["path"])


@pytest.fixture(scope="module")
def painter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_diffusers_folder(tiny_inpaint("sd1"), tmp_path_factory.mktemp("models") / "painter")


def test_an_inpainting_model_paints_what_the_ordinary_one_does_not(painter: Path) -> None:
    """Nothing of what it painted over is left, but it sees the rest."""
    arguments = ["photo.png", "a hat", "--mask", "mask.png", "--seed", "4", "--size", "48x32"]
    make(*arguments, "--model", str(painter), "-o", "a.png")
    blotted = gradient()
    blotted.paste("red", BOX)
    blotted.save("photo.png")
    make(*arguments, "--model", str(painter), "-o", "b.png")
    inside = np.asarray(box_mask()) == 255
    assert not (changed("a.png", Image.open("b.png")) & inside).any()
    assert (changed("a.png") & inside).any()
    assert not (changed("a.png") & ~inside).any()


@pytest.mark.parametrize("command", [["txt2img"], ["img2img", "photo.png"]])
def test_an_inpainting_model_without_a_mask_is_refused(painter: Path, command: list[str]) -> None:
    arguments = [*command[1:], "a hat", "--model", str(painter)]
    assert Command(command[0]).refused(*arguments) == (
        f"mask must be given for the inpainting model {painter}: use `sdloop inpaint`, or "
        "`sdloop outpaint` to extend a picture"
    )


def test_a_line_without_a_mask_is_refused() -> None:
    lines = '{"prompt": "a", "mask": "mask.png"}\na hat\n'
    message = refused("photo.png", "--from-file", "-", "--seed", "4", stdin=lines)
    assert message.startswith("standard input, line 2: mask must be given, as in: sdloop inpaint")
    Path("plain.toml").write_text("steps = 3\n")
    assert "mask must be given" in refused("photo.png", "a hat", "--config", "plain.toml")
