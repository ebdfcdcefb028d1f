"""Pictures ranked by how well they fit their prompts: sdloop sheet --rank clip."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.commands import Command, work_in
from helpers.tiny import save_tiny_clip
from PIL import Image
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.cli.read.sheet_axes import arranged, in_order, records_of
from sdloop.errors import FileError
from sdloop.inspection.ranking import rank_by_clip, words_of
from sdloop.metadata.picture import write_picture
from sdloop.models.clip.load import load_clip
from sdloop.models.clip.score import clip_scores
from sdloop.recipe.recipe import Recipe

SHEET = Command("sheet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return work_in(tmp_path / "here", monkeypatch, Path("mini"))


def picture(name: str, seed: int, prompt: str = "a (red:1.3) cat", **fields: object) -> Image.Image:
    """Blocks of random colours, and a Recipe that says so."""
    pixels = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), np.uint8)
    image = Image.fromarray(pixels).resize((32, 32), Image.Resampling.NEAREST)
    recipe = Recipe.from_dict({"prompt": prompt, "seed": seed, **fields})
    write_picture(image, Path(name), recipe=recipe)
    return image


def sheet(folder: Path, *arguments: str) -> Result:
    flags = ["-o", "sheet.png", "--clip-model", str(folder), "--rank", "clip"]
    return CliRunner().invoke(app, ["sheet", *arguments, *flags])


def test_the_best_come_first_and_equals_by_their_names(folder: Path) -> None:
    names = [f"out/{number}.png" for number in range(6)]
    pictures = [picture(name, seed=number % 4) for number, name in enumerate(names)]
    clip = load_clip(str(folder), device="cpu")
    scores = dict(zip(names, clip_scores(clip, pictures, ["a red cat"] * len(names)), strict=True))
    for given in (names, names[::-1]):
        found = rank_by_clip(clip, words_of(given))
        assert [one.score for one in found] == sorted(scores.values(), reverse=True)
        assert {one.name: one.score for one in found} == scores
        assert [one.name for one in found] == sorted(names, key=lambda n: (-scores[n], n))
    assert len(set(scores.values())) == 4


def test_words_are_the_prompts_without_their_grammar() -> None:
    picture("1.png", seed=1, prompt="a [cat:dog:0.5] AND (snow:1.2) :0.5 AND rain :-1", steps=10)
    picture("2.png", seed=2, prompt="a (cat)", emphasis="none")
    picture("3.png", seed=3, prompt="a cat", mix_prompts=["a [big] dog"], mix_weights=[1, 1])
    names = ["1.png", "2.png", "3.png"]
    assert list(words_of(names).values()) == ["a dog, snow", "a (cat)", "a cat, a big dog"]
    assert set(words_of(names, prompt="a (hat)").values()) == {"a (hat)"}
    Image.new("RGB", (8, 8)).save("4.png")
    with pytest.raises(
        FileError, match=r"'4\.png' contains no settings; or give one prompt for all"
    ):
        words_of(["1.png", "4.png"])


def test_a_sheet_of_the_best_says_their_scores(folder: Path) -> None:
    for number in range(5):
        picture(f"out/{number}.png", seed=number)
    best = rank_by_clip(load_clip(str(folder), device="cpu"), words_of(["out/3.png", "out/1.png"]))
    cells = arranged(
        in_order(records_of([one.name for one in best], needed=False), best),
        columns=None,
        rows=None,
    )
    seeds = [Path(one.name).stem for one in best]
    assert cells.captions == [
        [f"seed {seed}\nclip {one.score:.1f}" for seed, one in zip(seeds, best, strict=True)]
    ]
    result = sheet(folder, "out", "--top", "2")
    assert (result.exit_code, result.stdout) == (0, "sheet.png\n"), result.output
    assert result.stderr == ""
    order = rank_by_clip(
        load_clip(str(folder), device="cpu"), words_of([f"out/{n}.png" for n in range(5)])
    )
    with Image.open("sheet.png") as made:
        assert made.width == 2 * 132 - 4
        for place, one in enumerate(order[:2]):
            with Image.open(one.name) as expected:
                shown = made.crop((132 * place, made.height - 128, 132 * place + 128, made.height))
                assert shown.resize((32, 32), Image.Resampling.NEAREST).tobytes() == (
                    expected.tobytes()
                )


def test_any_pictures_by_one_prompt(folder: Path) -> None:
    for number in range(3):
        Image.effect_noise((40, 40), 20 + 30 * number).save(f"{number}.jpg")
    result = sheet(folder, ".", "--rank-prompt", "a cat " * 50)
    assert result.exit_code == 0, result.output
    assert "CLIP reads only 77 tokens and ignores " in result.stderr
    Path("sheet.png").unlink()
    assert sheet(folder, ".", "--rank-prompt", "a cat " * 50, "-q").stderr == ""


def test_the_users_own_clip_is_taken(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    picture("1.png", seed=1)
    monkeypatch.setenv("SDLOOP_CONFIG", "own.toml")
    Path("own.toml").write_text(f'[command]\nclip_model = "{folder}"\n')
    result = CliRunner().invoke(app, ["sheet", "1.png", "--rank", "clip", "-o", "sheet.png"])
    assert (result.exit_code, result.stdout) == (0, "sheet.png\n"), result.output
    Path("sheet.png").unlink()
    Path("own.toml").write_text('[command]\nclip_model = "./none"\n')
    assert "there is no folder none" in SHEET.refused("1.png", "--rank", "clip", code=3)


@pytest.mark.parametrize(
    ("arguments", "complaint", "code"),
    [
        (["--rank", "beauty"], "rank must be one of clip, got 'beauty'", 2),
        (["--top", "2"], "top needs --rank clip", 2),
        (["--clip-model", "x"], "clip_model needs --rank clip", 2),
        (["--rank-prompt", "a cat"], "rank_prompt needs --rank clip", 2),
        (["--device", "cpu"], "device needs --rank clip", 2),
        (["--rank", "clip", "--top", "0"], "top must be at least 1, got 0", 2),
        (
            ["--rank", "clip", "--columns", "seed"],
            "rank cannot be combined with columns or rows",
            2,
        ),
        (["--rank", "clip", "--clip-model", "./none"], "there is no folder none", 3),
        (["--rank", "clip", "--clip-model", ""], "clip_model must not be empty", 2),
        (["plain.png", "--rank", "clip"], "'plain.png' contains no settings", 3),
    ],
    ids=str,
)
def test_bad_input_is_refused(arguments: list[str], complaint: str, code: int) -> None:
    picture("1.png", seed=1)
    Image.new("RGB", (8, 8)).save("plain.png")
    assert SHEET.refused("1.png", *arguments, code=code).startswith(complaint)


def test_bad_input_costs_no_torch() -> None:
    picture("1.png", seed=1)
    code = (
        "import sys; from sdloop.cli import main; sys.argv = ['sdloop', 'sheet', '1.png', '--rank',"
        " 'clip', '--clip-model', './none']\n"
        "try: main()\nexcept SystemExit as end: print(end.code, 'torch' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "3 False\n", result.stderr
