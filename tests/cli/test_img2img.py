"""sdloop img2img with a tiny model, in the test process: flags and written files."""

import io
import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.pictures import gradient
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record
from sdloop.recipe.recipe import Recipe


def data(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in a folder with a sketch in it, with the tiny model as the user's own choice."""
    folder = work_in(tmp_path / "here", monkeypatch, tiny_model)
    gradient().save("sketch.png")
    return folder


COMMAND = Command("img2img", steps=4)
img2img, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused


def test_one_picture_whose_file_says_how_to_remake_it(tiny_model: Path) -> None:
    assert make("sketch.png", "a cat", "--strength", "0.5", "--seed", "4") == ["sketch-a-cat-4.png"]
    recipe = read_record(Path("sketch-a-cat-4.png")).recipe
    assert recipe is not None
    sha256 = recipe.image_sha256
    assert recipe == Recipe(
        prompt="a cat", seed=4, model=str(tiny_model), width=40, height=26, steps=4,
        guidance_scale=7.5, scheduler="pndm", image="sketch.png", image_sha256=sha256,
        strength=0.5, resize="crop", background="white",
    )  # fmt: skip
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    assert make("--from-file", "again.txt", "-o", "again.png") == ["again.png"]
    assert pixels("again.png") == pixels("sketch-a-cat-4.png")


def test_show_tells_the_picture_and_its_sha256() -> None:
    import hashlib

    make("sketch.png", "a cat", "--seed", "4", "-o", "cat.png")
    told = CliRunner().invoke(app, ["show", "cat.png"]).stdout
    assert (
        f"image_sha256      {hashlib.sha256(Path('sketch.png').read_bytes()).hexdigest()}" in told
    )
    assert "image             sketch.png" in told
    assert "Denoising strength: 0.75" in Image.open("cat.png").info["parameters"]


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--strength", "0.6"], "strength 0.6: 15 of 25 steps"),
        (["--strength", "0.6", "--exact-steps"], "strength 0.6: 25 of 42 steps"),
        (["--start-step", "10"], "start step 10: 15 of 25 steps"),
        (["--strength", "0.58", "--steps", "50"], "strength 0.58: 28 of 50 steps"),
        ([], "strength 0.75: 18 of 25 steps"),
    ],
    ids=str,
)
def test_what_really_runs_is_told_and_runs(flags: list[str], told: str) -> None:
    arguments = ["sketch.png", "a cat", "--seed", "4", "--scheduler", "euler", "-g", "1", *flags]
    result = img2img(*arguments, "-o", "cat.png")
    assert result.stderr == f"sdloop: {told}\n"
    sigmas = read_record(Path("cat.png")).made["sigmas"]
    assert f": {len(sigmas)} of" in told


def test_quietly_nothing_is_told() -> None:
    result = img2img("sketch.png", "a cat", "--seed", "4", "--steps", "4", "-q")
    assert (result.exit_code, result.stderr) == (0, "")


def test_a_start_step_is_a_strength_in_other_words() -> None:
    lines = make("sketch.png", "a cat", "--seed", "4", "--strength", "0.5", "--json")
    lines += make("sketch.png", "a cat", "--seed", "4", "--start-step", "2", "--json")
    one, two = map(json.loads, lines)
    assert pixels(one["path"]) == pixels(two["path"])
    assert one["key"] == two["key"]


def test_pictures_times_prompts_times_seeds() -> None:
    Path("frames").mkdir()
    for number in (10, 9, 1):
        gradient().save(f"frames/{number}.png")
    Path("frames/notes.txt").write_text("not a picture")
    Path("frames/.hidden.png").write_text("not one either")
    recipes = plan("frames", "a cat", "--seed", "4,7")
    assert [(recipe["image"], recipe["seed"]) for recipe in recipes] == [
        (f"frames/{number}.png", seed) for number in (1, 9, 10) for seed in (4, 7)
    ]
    prompts = plan("frames", "-i", "sketch.png", "--from-file", "-", "--seed", "1", stdin="a\nb\n")
    assert [recipe["prompt"] for recipe in prompts] == ["a", "b"] * 4
    names = make("frames", "a cat", "--seed", "4", "--outdir", "out")
    assert names == [f"out/{number}-a-cat-4.png" for number in (1, 9, 10)]


def test_the_prompt_stands_alone_beside_pictures_that_a_flag_names() -> None:
    gradient(32, 48).save("b.png")
    recipes = plan("-i", "sketch.png", "--init-image", "b.png", "a cat", "--seed", "4")
    assert [(recipe["image"], recipe["prompt"]) for recipe in recipes] == [
        ("sketch.png", "a cat"),
        ("b.png", "a cat"),
    ]
    assert [(recipe["width"], recipe["height"]) for recipe in recipes] == [(40, 26), (26, 40)]


def test_pictures_of_one_size_share_a_batch_and_are_those_of_single_runs() -> None:
    gradient().transpose(Image.Transpose.FLIP_LEFT_RIGHT).save("b.png")
    arguments = ["-i", "sketch.png", "-i", "b.png", "a cat", "--seed", "4"]
    together = make(*arguments, "--batch-size", "2", "--outdir", "together")
    alone = make(*arguments, "--outdir", "alone")
    for one, two in zip(together, alone, strict=True):
        near = [abs(a - b) for a, b in zip(pixels(one), pixels(two), strict=True)]
        assert max(near) <= 1
    assert pixels(alone[0]) != pixels(alone[1])


def test_a_picture_from_standard_input_is_that_picture() -> None:
    bytes_ = Path("sketch.png").read_bytes()
    (one,) = make("-", "a cat", "--seed", "4", stdin=bytes_)
    (two,) = make("sketch.png", "a cat", "--seed", "4")
    assert (one, two) == ("stdin-a-cat-4.png", "sketch-a-cat-4.png")
    assert pixels(one) == pixels(two)


def test_a_pipe_is_read_once() -> None:
    import os
    import threading

    os.mkfifo("pipe")
    bytes_ = Path("sketch.png").read_bytes()
    writer = threading.Thread(target=lambda: Path("pipe").write_bytes(bytes_))
    writer.start()
    (name,) = make("pipe", "a cat", "--seed", "4")
    writer.join()
    make("sketch.png", "a cat", "--seed", "4", "-o", "same.png")
    assert pixels(name) == pixels("same.png")


def test_a_dry_run_is_what_a_prompt_file_takes() -> None:
    first = plan("sketch.png", "a cat", "--seed", "4,7", "--resize", "fit", "--size", "32x32")
    assert {(recipe["width"], recipe["height"]) for recipe in first} == {(32, 22)}
    lines = "\n".join(json.dumps(recipe) for recipe in first)
    assert plan("--from-file", "-", stdin=lines) == first
    result = CliRunner().invoke(app, ["txt2img", "--from-file", "-", "--dry-run"], input=lines)
    assert [json.loads(line) for line in result.stdout.splitlines()] == first  # one path


def test_another_picture_under_the_same_name_is_not_taken() -> None:
    (recipe,) = plan("sketch.png", "a cat", "--seed", "4")
    gradient(60, 40).save("sketch.png")
    message = refused("--from-file", "-", stdin=json.dumps(recipe), code=3)
    assert "'sketch.png' is not the picture that the recipe was made with" in message
    (recipe,) = plan("sketch.png", "--from-file", "-", stdin='{"prompt": "a cat", "seed": 4}')
    assert recipe["image"] == "sketch.png"


def test_kohyas_strength() -> None:
    recipes = plan("sketch.png", "--from-file", "-", "--seed", "4", stdin="a cat --t 0.4\na dog\n")
    assert [recipe["strength"] for recipe in recipes] == [0.4, 0.75]


def test_settings_files_name_pictures_and_strengths_and_flags_win() -> None:
    Path("soft.toml").write_text('image = "sketch.png"\nprompt = "a cat"\nstart_step = 20\n')
    (recipe,) = plan("--config", "soft.toml", "--seed", "4")
    assert (recipe["image"], recipe["start_step"]) == ("sketch.png", 20)
    (recipe,) = plan("--config", "soft.toml", "--seed", "4", "--strength", "0.5")
    assert recipe["strength"] == 0.5
    assert "start_step" not in recipe
    Path("exact.toml").write_text("strength = 0.5\nexact_steps = true\n")
    (recipe,) = plan("sketch.png", "a cat", "--config", "exact.toml", "--seed", "4")
    assert recipe["exact_steps"] is True
    result = CliRunner().invoke(app, ["config", "set", "strength", "0.5"])
    assert result.exit_code == 2  # for it would be refused wherever no picture is


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "prompt must be given, as in: sdloop img2img sketch.png"),
        (["sketch.png"], "prompt must be given, as in: sdloop img2img sketch.png"),
        (["sketch.png", "sketch.png"], "prompt must be a text, got the picture 'sketch.png'"),
        (["sketch.png", "-", "-i", "-"], 'only one input can be "-" (standard input)'),
        (["-", "-"], 'only one input can be "-" (standard input), got image and prompt'),
        (["sketch.png", "a", "--strength", "0.03"], "strength must be at least 0.04 for one of 25"),
        (["sketch.png", "a", "--strength", "0"], "strength must be at least 0.04 for one of 25"),
        (["sketch.png", "a", "--strength", "1.5"], "strength must be between 0 and 1, got 1.5"),
        (
            ["sketch.png", "a", "--strength", "0.01", "--exact-steps"],
            "strength must be at least 0.025 for all of 25 exact steps to run, got 0.01",
        ),
        (["sketch.png", "a", "--start-step", "25"], "start_step must be at most 24, got 25"),
        (
            ["sketch.png", "a", "--start-step", "5", "--strength", "0.5"],
            "start_step cannot be combined with strength: remove one of them",
        ),
        (["sketch.png", "a", "--resize", "fill"], "resize must be one of fit, crop, pad, stretch"),
        (["sketch.png", "a", "--background", "rad"], "background must be an opaque colour"),
        (["sketch.png", "a", "-W", "33"], "width must be a multiple of 2"),
    ],
    ids=str,
)
def test_settings_that_are_refused_before_any_work(arguments: list[str], complaint: str) -> None:
    assert complaint in refused(*arguments)


def test_a_strength_without_a_picture_is_refused() -> None:
    runner = CliRunner()
    result = runner.invoke(app, ["txt2img", "--from-file", "-"], input="a cat --t 0.5\n")
    assert result.exit_code == 2
    assert "line 1: strength is for pictures that start from an image" in result.stderr
    lines = '{"prompt": "a cat", "image": "sketch.png"}\n'
    message = refused("sketch.png", "--from-file", "-", stdin=lines)
    assert message == "image cannot be used here: every prompt has its own image"
    assert "image must be given" in refused("--from-file", "-", stdin="a cat\n")


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("missing.png", None, "cannot read 'missing.png': No such file"),
        ("text.png", b"two green frogs", "'text.png' is not a picture that can be read"),
        ("cut.png", data(gradient())[:100], "'cut.png' is not a valid picture: "),
        ("empty/", None, "the folder 'empty/' contains no picture"),
    ],
)
def test_what_is_no_picture_ends_with_3(name: str, content: bytes | None, complaint: str) -> None:
    Path("empty").mkdir()
    if content is not None:
        Path(name).write_bytes(content)
    assert refused(name, "a cat", code=3).startswith(complaint)


def test_what_is_no_picture_on_standard_input() -> None:
    assert refused("-", "a cat", stdin=b"text", code=3).startswith("standard input is not a")


def test_a_damaged_picture_is_found_before_a_model_is_fetched() -> None:
    Path("text.png").write_text("two green frogs")
    message = refused("text.png", "a cat", "-m", "nobody/nothing", code=3)
    assert message.startswith("'text.png'")


def test_a_film_is_told_to_be_one() -> None:
    gradient().save("film.gif", save_all=True, append_images=[gradient().rotate(180)])
    result = img2img("film.gif", "a cat", "--seed", "4", "--dry-run")
    assert "'film.gif' is an animation: using its first frame" in result.stderr
