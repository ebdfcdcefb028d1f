"""sdloop mix with a tiny model, in the test process: flags and written files."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from PIL import Image

from sdloop.metadata.picture import read_record


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_model: Path) -> Path:
    """Work in an empty folder, with the tiny model as the user's own choice."""
    return work_in(tmp_path / "here", monkeypatch, tiny_model)


COMMAND = Command("mix", steps=2)
mix, make, plan, refused = COMMAND.run, COMMAND.make, COMMAND.plan, COMMAND.refused
TXT2IMG = Command("txt2img", steps=2)
RERUN = Command("rerun")
PAIR = ("a cat", "a dog")


@pytest.mark.parametrize("at", ["embedding", "prediction", "time"])
@pytest.mark.parametrize(("weight", "prompt"), [("0", "a cat"), ("1", "a dog")])
def test_the_ends_are_the_pictures_of_txt2img(at: str, weight: str, prompt: str) -> None:
    make(*PAIR, "--at", at, "--weight", weight, "--seed", "4", "-o", "mixed.png")
    TXT2IMG.make(prompt, "--seed", "4", "-o", "plain.png")
    assert pixels("mixed.png") == pixels("plain.png")
    assert read_record(Path("mixed.png")).recipe == read_record(Path("plain.png")).recipe


@pytest.mark.parametrize(
    "flags",
    [
        ("--weight", "0.3"),
        ("--slerp",),
        ("--at", "prediction", "--weights", "1.5,-0.5"),
        ("--at", "time", "--weight", "0.5"),
        ("--variation-seed", "9", "--variation-strength", "0.4"),
    ],
    ids=" ".join,
)
def test_a_mixed_picture_remakes_itself(flags: tuple[str, ...]) -> None:
    make(*PAIR, *flags, "--seed", "4", "-o", "mixed.png")
    recipe = read_record(Path("mixed.png")).recipe
    assert recipe is not None
    Path("again.txt").write_text(json.dumps(recipe.to_dict()))
    TXT2IMG.make("--from-file", "again.txt", "-o", "again.png")
    assert pixels("again.png") == pixels("mixed.png")
    assert read_record(Path("again.png")).recipe == recipe
    TXT2IMG.make("a cat", "--seed", "4", "-o", "plain.png")
    assert pixels("plain.png") != pixels("mixed.png")


def test_where_it_is_mixed_is_in_the_recipe() -> None:
    (embedding,) = plan(*PAIR, "a fish", "--weights", "2,1,1", "--seed", "4")
    assert embedding["prompt"] == "a cat"
    assert embedding["mix_prompts"] == ["a dog", "a fish"]
    assert embedding["mix_weights"] == [0.5, 0.25, 0.25]
    (prediction,) = plan(*PAIR, "--at", "prediction", "--weights", "1,-0.5", "--seed", "4")
    assert prediction["prompt"] == "a cat :1 AND a dog :-0.5"
    (time,) = plan(*PAIR, "--at", "time", "--weight", "0.25", "--seed", "4")
    assert time["prompt"] == "[a cat:a dog:0.75]"
    (token,) = plan("--at", "token", "a {man|king} sits", "--seed", "4")
    assert token["prompt"] == "a man sits"
    assert token["replace_tokens"] == ["man=0.5*man+0.5*king"]


def test_a_slider_and_its_strip() -> None:
    lines = make(*PAIR, "--slider", "3", "--seed", "4,7", "-o", "{index}.png")
    assert lines == [*(f"{index}.png" for index in range(6)), "0-strip.png"]
    recipes = [read_record(Path(name)).recipe for name in lines[:6]]
    assert [recipe.seed for recipe in recipes if recipe] == [4, 7, 4, 7, 4, 7]
    assert [recipe.mix_weights for recipe in recipes if recipe] == [
        *(None, None), *((0.5, 0.5), (0.5, 0.5)), *(None, None)
    ]  # fmt: skip
    TXT2IMG.make("a dog", "--seed", "7", "-o", "dog.png")
    assert pixels("5.png") == pixels("dog.png")
    with Image.open("0-strip.png") as strip, Image.open("5.png") as last:
        large = last.resize((last.width * 4, last.height * 4), Image.Resampling.NEAREST)
        place = (strip.width - large.width, strip.height - large.height)
        assert strip.crop((*place, *strip.size)).tobytes() == large.tobytes()


def test_the_strip_says_which_pictures_it_shows() -> None:
    make(*PAIR, "--slider", "2", "--seed", "4", "-o", "{index}.png")
    assert RERUN.refused("0-strip.png", "0.png", code=3).endswith(
        "'0-strip.png' contains no settings: it is a sheet of sdloop: name its pictures, "
        "0.png 1.png"
    )
    assert refused("-", "-", stdin="").startswith("only one prompt")
    assert refused("-", "a dog", stdin="\n").startswith("prompt must not be empty on standard")


def test_the_strip_in_json_and_never_over_another() -> None:
    make(*PAIR, "--slider", "2", "--seed", "4")
    lines = make(*PAIR, "--slider", "2", "--seed", "4", "--json")
    told = json.loads(lines[-1])
    assert told["pictures"] == [json.loads(line)["path"] for line in lines[:-1]]
    assert told["pictures"] == ["a-cat-a-dog-0.00-4-2.png", "a-cat-a-dog-1.00-4-2.png"]
    assert told["path"] == "a-cat-a-dog-0.00-4-2-strip.png"


def test_a_sliders_pictures_are_named_by_what_they_are_between() -> None:
    lines = make(*PAIR, "--slider", "5", "--seed", "4")
    shares = ("0.00", "0.25", "0.50", "0.75", "1.00")
    assert lines[:5] == [f"a-cat-a-dog-{share}-4.png" for share in shares]
    (first, _) = make("--at", "token", "a {man|king}", "--slider", "2", "--seed", "4")[:2]
    assert first == "a-man-king-0.00-4.png"


def test_a_walk_is_a_file_that_moves_and_whose_frames_can_be_made_again() -> None:
    flags = ("--walk", "5", "--seed", "4,6,9", "-o", "morph.gif", "--fps", "10")
    frames = plan(*PAIR, *flags, "--steps", "2")
    assert [frame["seed"] for frame in frames] == [4, 4, 6, 6, 9]
    assert [frame.get("variation_strength") for frame in frames] == [None, 0.5, None, 0.5, None]
    assert frames[1]["variation_seed"] == 6
    assert frames[2]["mix_weights"] == [0.5, 0.5]
    assert make(*PAIR, *flags) == ["morph.gif"]
    with Image.open("morph.gif") as film:
        assert film.n_frames == 5
        assert film.info["duration"] == 100
    assert list(Path().iterdir()) == [Path("morph.gif")]
    (told,) = make(*PAIR, *flags, "--json", "--overwrite")
    recipes = json.loads(told)["recipes"]
    assert [recipe["seed"] for recipe in recipes] == [4, 4, 6, 6, 9]


def test_a_walk_through_seeds_alone() -> None:
    frames = plan("a cat", "--seed", "4..5", "--walk", "3")
    assert [frame.get("variation_strength") for frame in frames] == [None, 0.5, None]
    assert {frame["prompt"] for frame in frames} == {"a cat"}


def test_settings_come_from_a_file_too() -> None:
    Path("set.toml").write_text('steps = 3\nmix_prompts = ["a bird"]\nprompt = "a fish"\n')
    (recipe,) = plan(*PAIR, "--weight", "0", "--seed", "4", "--config", "set.toml")
    assert (recipe["steps"], recipe["prompt"]) == (3, "a cat")
    assert "mix_prompts" not in recipe
    (other,) = TXT2IMG.plan("--seed", "4", "--config", "set.toml")
    assert (other["prompt"], other["mix_prompts"]) == ("a fish", ["a bird"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "prompt must be given"),
        (("a cat",), "mix needs at least two prompts, got 1"),
        ((*PAIR, "--weight", "2"), "weight must be between 0 and 1, got 2.0"),
        (
            (*PAIR, "--weight", "0.5", "--slider", "3"),
            "weight cannot be combined with slider: remove one of them",
        ),
        ((*PAIR, "--weights", "1,x"), "weights must be a number, got 'x'"),
        ((*PAIR, "--weights", "1,2,3"), "weights must be 2 numbers, got 1, 2, 3"),
        ((*PAIR, "a fish", "--weight", "0.5"), "weight needs two prompts, got 3"),
        ((*PAIR, "--slider", "1"), "slider must be at least 2, got 1"),
        ((*PAIR, "--fps", "9"), "fps needs --walk"),
        ((*PAIR, "--at", "nowhere"), "at must be one of embedding, token, prediction, time"),
        ((*PAIR, "--at", "time", "--slerp"), "slerp works only with at 'embedding', got 'time'"),
        (
            (*PAIR, "--at", "prediction", "--cfg", "1"),
            "AND needs guidance, and guidance_scale 1 switches it off",
        ),
        ((*PAIR, "a fish", "--slerp"), "slerp needs two prompts, got 3"),
        (("a cat", "--walk", "4", "--seed", "4"), "walk needs at least two prompts, or two seeds"),
        (("a cat", "a cat", "--walk", "3", "--seed", "4"), "walk needs at least two prompts"),
        (
            ("a cat", "a cat", "--slider", "3"),
            "slider needs two different prompts, got only 'a cat'",
        ),
        (
            ("--at", "token", "a {man|man}", "--walk", "3", "--seed", "4"),
            "walk needs at least two prompts",
        ),
        ((*PAIR, "--walk", "4", "--seed", "4", "-o", "x.txt"), "must end in"),
        ((*PAIR, "--variation-seed", "4"), "must be given together"),
        ((*PAIR, "--from-file", "x.txt"), "from_file is for txt2img"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_makes_no_sense_is_refused(arguments: tuple[str, ...], message: str) -> None:
    assert message in refused(*arguments)


@pytest.mark.slow
def test_the_command_itself() -> None:
    command = [sys.executable, "-m", "sdloop", "mix", *PAIR, "--seed", "4", "--steps", "2"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert result.stdout == "a-cat-4.png\n"
    recipe = read_record(Path("a-cat-4.png")).recipe
    assert recipe is not None
    assert recipe.mix_weights == (0.5, 0.5)


def test_a_walk_through_seeds_says_that_noise_which_is_drawn_will_jump() -> None:
    flags = ("a cat", "--walk", "3", "--seed", "4..5", "--dry-run")
    assert "adds random noise in each step" in mix(*flags, "--scheduler", "euler-a").stderr
    assert (
        "adds random noise in each step" in mix(*flags, "--scheduler", "ddim", "--eta", "1").stderr
    )
    assert "draws noise" not in mix(*flags, "--scheduler", "euler").stderr
