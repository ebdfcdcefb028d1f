"""Learned and replaced words on the command line, and in the metadata of pictures."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner, Result

from sdloop.cli import app
from sdloop.metadata.picture import read_record


@pytest.fixture
def frog(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    save_file({"<frog>": torch.randn(2, 32)}, tmp_path / "frog.safetensors")
    return Path("frog.safetensors")


def run(model: Path, *arguments: str) -> Result:
    command = ["txt2img", *arguments, "-m", str(model), "--seed", "4", "--steps", "2", "-q"]
    return CliRunner().invoke(app, command)


def pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).copy()


def test_a_picture_with_words_is_remade_from_its_own_file(tiny_model: Path, frog: Path) -> None:
    flags = ("--embedding", "frog.safetensors", "--replace-token", "man=0.5*man+0.5*king")
    made = run(tiny_model, "a <frog> and a man", *flags, "-o", "one.png")
    assert made.exit_code == 0, made.stderr
    record = read_record(Path("one.png"))
    assert record.recipe is not None
    assert record.recipe.embeddings == ("frog.safetensors:<frog>",)
    assert record.recipe.embeddings_sha256 is not None
    (sha256,) = record.recipe.embeddings_sha256
    assert record.fields["TI hashes"] == f"<frog>: {sha256[:12]}"
    assert record.recipe.replace_tokens == ("man=0.5*man+0.5*king",)
    Path("again.jsonl").write_text(json.dumps(record.recipe.to_dict()), encoding="utf-8")
    again = CliRunner().invoke(
        app, ["txt2img", "--from-file", "again.jsonl", "-m", str(tiny_model), "-o", "two.png"]
    )
    assert again.exit_code == 0, again.stderr
    assert np.array_equal(pixels("one.png"), pixels("two.png"))
    assert read_record(Path("two.png")).made["key"] == record.made["key"]
    plain = run(tiny_model, "a <frog> and a man", "-o", "plain.png")
    assert plain.exit_code == 0
    assert not np.array_equal(pixels("one.png"), pixels("plain.png"))

    save_file({"<frog>": torch.randn(2, 32)}, frog)
    other = CliRunner().invoke(app, ["txt2img", "--from-file", "again.jsonl"])
    assert other.exit_code == 3
    assert "is not the file that the recipe was made with" in other.stderr


def test_several_words_and_a_token_of_ones_own(tiny_model: Path, frog: Path) -> None:
    torch.save({"string_to_param": {"*": torch.randn(1, 32)}, "name": "x"}, "bad.pt")
    flags = ("--embedding", "frog.safetensors:my-frog", "--embedding", "bad.pt", "--dry-run")
    result = run(tiny_model, "a my-frog", "-n", "(bad:1.2)", *flags)
    assert result.exit_code == 0, result.stderr
    planned = json.loads(result.stdout)
    assert planned["embeddings"] == ["frog.safetensors:my-frog", "bad.pt:bad"]
    assert len(planned["embeddings_sha256"]) == 2


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        (("--embedding", "none.pt"), 3, "cannot read 'none.pt'"),
        (("--embedding", "frog"), 2, "embeddings must be like FILE or FILE:TOKEN"),
        (("--embedding", "frog.safetensors"), 2, "'<frog>' is not in 'a man'"),
        (("--replace-token", "man"), 2, "replace_tokens must be like puppy=cat"),
        (("--replace-token", "man=zyzzyva"), 2, "replace_tokens: 'zyzzyva' must be a single token"),
    ],
)
def test_refusals_are_one_line(
    tiny_model: Path, frog: Path, flags: tuple[str, ...], code: int, message: str
) -> None:
    result = run(tiny_model, "a man", *flags)
    assert result.exit_code == code
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_word_of_several_tokens_is_refused_before_the_model_is_loaded(tiny_model: Path) -> None:
    code = (
        "import sys\nfrom sdloop.cli import app\n"
        "words = ['--replace-token', 'man=zyzzyva']\n"
        f"try: app(['txt2img', 'a man', *words, '--model', {str(tiny_model)!r}])\n"
        "except SystemExit as end: print(end.code, 'torch' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 False\n"


def test_tokens_shows_where_the_vectors_are() -> None:
    file = Path(__file__).parents[2] / "examples" / "penguin" / "my-penguin.safetensors"
    command = ["tokens", "a (<my-penguin>:1.2) on stilts", "--embedding", str(file), "--json"]
    result = CliRunner().invoke(app, [*command, "--strict"])
    assert result.exit_code == 0, result.stderr
    seen = json.loads(result.stdout)
    (chunk,) = seen["encoders"]["text_encoder"]
    ids = [(token["id"], token["text"], token["weight"]) for token in chunk["tokens"]]
    assert ids[2:4] == [(-1, "<my-penguin>", 1.2), (-2, "<my-penguin>", 1.2)]
    assert not seen["unknown"]


def recipes(model: Path, *arguments: str) -> list[dict[str, object]]:
    command = [*arguments, "-m", str(model), "--seed", "4", "--dry-run"]
    planned = CliRunner().invoke(app, command)
    assert planned.exit_code == 0, planned.stderr
    return [json.loads(line) for line in planned.stdout.splitlines()]


def test_each_line_of_a_file_takes_the_words_that_it_mentions(tiny_model: Path, frog: Path) -> None:
    Path("lines.txt").write_text("a <frog>\na man\n--n <frog>\n", encoding="utf-8")
    flags = ("--embedding", "frog.safetensors", "--replace-token", "man=king")
    first, second, third = recipes(tiny_model, "txt2img", "--from-file", "lines.txt", *flags)
    assert first["embeddings"] == third["embeddings"] == ["frog.safetensors:<frog>"]
    assert "embeddings" not in second
    assert [one.get("replace_tokens") for one in (first, second, third)] == [
        None,
        ["man=king"],
        None,
    ]
    nowhere = run(tiny_model, "--from-file", "lines.txt", "--replace-token", "dog=king")
    assert nowhere.exit_code == 2
    assert "replace_tokens must be used in a prompt, and 'dog'" in nowhere.stderr


def test_a_slider_may_lead_to_a_learned_word(tiny_model: Path, frog: Path) -> None:
    flags = ("--embedding", "frog.safetensors", "--slider", "3")
    ends = recipes(tiny_model, "mix", "a man", "a <frog>", *flags)
    assert ["embeddings" in one for one in ends] == [False, True, True]


def test_words_are_replaced_beside_those_that_are_mixed(tiny_model: Path, frog: Path) -> None:
    flags = ("--at", "token", "--replace-token", "king=the")
    (one,) = recipes(tiny_model, "mix", "a {man|day} and a king", *flags)
    assert one["replace_tokens"] == ["man=0.5*man+0.5*day", "king=the"]
