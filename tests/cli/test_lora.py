"""LoRAs on the command line: flags, prompts, files, and rerun from the picture's metadata."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.forked import Nursery
from helpers.loras import lora_pairs, save_kohya, save_peft
from helpers.tiny import tiny_sd1, tiny_sdxl
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.a1111 import parse_parameters
from sdloop.metadata.a1111_read import settings_of
from sdloop.metadata.chunks import read_texts
from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")


@pytest.fixture
def workshop(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = work_in(tmp_path / "work", monkeypatch, tiny_model)
    (home / "loras").mkdir()
    components = tiny_sd1()
    save_kohya(lora_pairs(components, seed=1), home / "loras" / "ink.safetensors")
    save_peft(lora_pairs(components, seed=2, parts=("unet",)), home / "loras" / "frog.safetensors")
    save_kohya(lora_pairs(tiny_sdxl()), home / "loras" / "large.safetensors")
    return home


def test_a_prompt_and_a_flag_say_the_same(workshop: Path) -> None:
    by_flag, by_path, by_prompt = (
        TXT2IMG.make(*arguments, "--seed", "4")[0]
        for arguments in (
            ("a cat", "--lora", "ink:0.5", "--lora-dir", "loras"),
            ("a cat", "--lora", "loras/ink.safetensors:0.5"),
            ("a cat <lora:ink:0.5>", "--lora-dir", "loras"),
        )
    )
    recipes = [read_record(Path(name)).recipe for name in (by_flag, by_path, by_prompt)]
    assert recipes[0] == recipes[1] == recipes[2]
    (plain,) = TXT2IMG.make("a cat", "--seed", "4")
    assert pixels(by_flag) == pixels(by_path) == pixels(by_prompt) != pixels(plain)


def test_several_in_their_order(workshop: Path) -> None:
    (plan,) = TXT2IMG.plan(
        *("a cat <lora:ink> here", "--lora", "frog:-0.5", "--lora-dir", "loras", "--seed", "4")
    )
    assert plan["prompt"] == "a cat here"
    assert [(one["name"], one["scale"]) for one in plan["loras"]] == [
        ("loras/frog.safetensors", -0.5),
        ("loras/ink.safetensors", 1.0),
    ]
    assert all(len(one["sha256"]) == 64 for one in plan["loras"])


def test_the_picture_remakes_itself_and_with_no_other_file(workshop: Path) -> None:
    (name,) = TXT2IMG.make("a cat <lora:ink:0.5>", "--lora-dir", "loras", "--seed", "4")
    (line,) = CliRunner().invoke(app, ["show", name, "--json"]).stdout.splitlines()
    Path("again.jsonl").write_text(json.dumps(json.loads(line)["recipe"]))
    (again,) = TXT2IMG.make("--from-file", "again.jsonl")
    assert again != name
    assert pixels(again) == pixels(name)
    save_kohya(lora_pairs(tiny_sd1(), seed=3), Path("loras/ink.safetensors"))
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'loras/ink.safetensors' is not the LoRA that the recipe was made with" in error


def test_what_the_file_tells(workshop: Path) -> None:
    (name,) = TXT2IMG.make("a cat <lora:ink:0.5>", "--lora-dir", "loras", "--seed", "4")
    texts = read_texts(Path(name))
    parameters = parse_parameters(texts["parameters"])
    assert parameters.prompt == "a cat <lora:ink:0.5>"
    # A1111's hash is of the tensors alone: another note in the file does not change it.
    short = parameters.fields["Lora hashes"].removeprefix("ink: ")
    assert json.loads(texts["sdloop"])["made"]["lora_hashes"] == {"ink": short}
    data = load_file("loras/ink.safetensors")
    save_file(data, "loras/noted.safetensors", {"title": "ink"})
    (noted,) = TXT2IMG.make("a cat <lora:noted:0.5>", "--lora-dir", "loras", "--seed", "4")
    fields = parse_parameters(read_texts(Path(noted))["parameters"]).fields
    assert fields["Lora hashes"] == f"noted: {short}"
    assert len(short) == 12
    shown = CliRunner().invoke(app, ["show", name]).stdout
    assert "loras/ink.safetensors:0.5  " in shown
    # Theirs reads back as a prompt that calls the LoRA, for a folder that has it.
    assert settings_of(parameters)[0]["prompt"] == "a cat <lora:ink:0.5>"


def test_settings_files_take_them(workshop: Path) -> None:
    Path("ink.toml").write_text(
        'loras = ["ink:0.5", {name = "frog", scale = 2}]\n[command]\nlora_dir = "loras"\n'
    )
    (plan,) = TXT2IMG.plan("a cat", "--config", "ink.toml", "--seed", "4")
    assert [one["scale"] for one in plan["loras"]] == [0.5, 2.0]
    (plan,) = TXT2IMG.plan("a cat", "--config", "ink.toml", "--lora", "frog", "--seed", "4")
    assert [one["name"] for one in plan["loras"]] == ["loras/frog.safetensors"]
    result = CliRunner().invoke(app, ["config", "set", "lora_dir", str(workshop / "loras")])
    assert result.exit_code == 0
    assert TXT2IMG.plan("a cat <lora:ink>", "--seed", "4")[0]["loras"][0]["scale"] == 1
    Path("lines.txt").write_text("a dog <lora:ink:2> --n a cat\na dog\n")
    plans = TXT2IMG.plan("--from-file", "lines.txt", "--seed", "4")
    assert [len(plan.get("loras", [])) for plan in plans] == [1, 0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (("a <lora:ik>", "--lora-dir", "loras"), 3, "there is no LoRA 'ik' in loras: there is ink"),
        (("a <lora:ink>",), 2, "prompt names the LoRA 'ink': give its folder with --lora-dir"),
        (("a <lora:../loras/ink>", "--lora-dir", "loras"), 3, "there is no LoRA '../loras/ink'"),
        (("a <lora:ink:x>", "--lora-dir", "loras"), 2, "prompt must name a LoRA as in"),
        (
            ("a", "-n", "b <lora:ink:1>", "--lora-dir", "loras"),
            2,
            "negative_prompt must not contain <lora:…> here",
        ),
        (("a", "--lora", "ink"), 3, "'ink' is neither a file nor a hub id like owner/name"),
        (("a", "--lora", "loras/in.safetensors:1"), 3, "there is no file loras/in.safetensors"),
        (("a", "--lora", "loras/x/in.safetensors"), 3, "there is no file loras/x/in.safetensors"),
        (("a", "--lora", "loras/ink.safetensors:101"), 2, "loras.scale must be between -100 and"),
        (("a", "--lora", "loras"), 3, "loras holds 3 files: name one of frog.safetensors, ink"),
        (("a", "--lora", "loras/large.safetensors"), 3, "is a LoRA for SDXL"),
        (("a", "--lora", "org/ink"), 3, "org/ink is not in the cache, and HF_HUB_OFFLINE is set"),
    ],
)
def test_what_is_refused(
    workshop: Path, arguments: tuple[str, ...], code: int, message: str
) -> None:
    assert message in TXT2IMG.refused(*arguments, "--seed", "4", code=code)


def test_other_tags_are_left_out_and_told(workshop: Path) -> None:
    arguments = ["txt2img", "a <lyco:ink:0.8> cat", "--seed", "4", "--dry-run"]
    result = CliRunner().invoke(app, arguments)
    assert json.loads(result.stdout)["prompt"] == "a cat"
    assert "left out of the prompt: <lyco:ink:0.8>" in result.stderr


def test_a_file_of_a1111_with_two_scales(workshop: Path) -> None:
    """One for the text encoder and one for the UNet; our files say it in the same way."""
    texts = PngInfo()
    texts.add_text("parameters", "a cat <lora:ink:0.8:0.5>\nSteps: 2, Seed: 4, CFG scale: 2")
    Image.new("RGB", (8, 8)).save("two.png", pnginfo=texts)
    arguments = ["rerun", "two.png", "--lora-dir", "loras"]
    result = CliRunner().invoke(app, [*arguments, "-o", "made.png"])
    assert result.exit_code == 0, result.stderr
    TXT2IMG.make("a cat", "--seed", "4", "--guidance-scale", "2", "--lora",
                 "loras/ink.safetensors:0.8:0.5", "--rng", "philox", "-o", "flag.png")  # fmt: skip
    assert Path("made.png").read_bytes() != b""
    assert pixels("made.png") == pixels("flag.png")
    (lora,) = read_record(Path("made.png")).settings["loras"]
    assert (lora["scale"], lora["text_scale"]) == (0.5, 0.8)
    with Image.open("made.png") as made:
        assert made.info["parameters"].startswith("a cat <lora:ink:0.8:0.5>\n")
    plan = json.loads(CliRunner().invoke(app, [*arguments, "--drop", "loras", "--dry-run"]).stdout)
    assert (plan["prompt"], plan.get("loras")) == ("a cat", None)


def test_a_wrong_one_costs_a_moment_and_a_right_one_says_nothing(
    workshop: Path, nursery: Nursery
) -> None:
    command = ["txt2img", "a cat", "--seed", "4", "--steps", "1", "--lora"]
    started = time.perf_counter()
    wrong = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "sdloop", *command, "loras/large.safetensors"],
        capture_output=True,
        text=True,
    )
    assert time.perf_counter() - started < 5  # 0.3 s on an idle machine
    assert wrong.returncode == 3
    assert re.search(r"\|\s+sdloop\.models\.checkpoint\.lora$", wrong.stderr, re.MULTILINE)
    assert not re.search(r"\|\s+(torch|peft|diffusers|numpy)$", wrong.stderr, re.MULTILINE)
    two = ["loras/ink.safetensors", "--lora", "loras/frog.safetensors"]
    right = nursery.sdloop(*command, *two, "--quiet")
    assert (right.returncode, right.stderr) == (0, "")
    assert Path(right.stdout.strip()).is_file()


def test_other_commands_take_them_or_refuse_them(workshop: Path) -> None:
    arguments = ["--lora", "ink:0.5", "--lora-dir", "loras", "--seed", "4", "--steps", "2"]
    for name in ("plain.png", "ink.png"):
        added = arguments if name == "ink.png" else arguments[4:]
        result = CliRunner().invoke(app, ["inspect", "steps", "a cat", *added, "-o", name])
        assert result.exit_code == 0, result.stderr
    assert pixels("plain.png") != pixels("ink.png")
    result = CliRunner().invoke(app, ["inspect", "prompt", "a cat", *arguments])
    assert result.exit_code == 2
    assert "loras must not be set here" in result.stderr
    result = CliRunner().invoke(app, ["tokens", "a cat <lora:ink:2>", "--json"])
    assert "lora" not in result.stdout.replace("a cat <lora:ink:2>", "")
    assert result.exit_code == 0, result.stderr
