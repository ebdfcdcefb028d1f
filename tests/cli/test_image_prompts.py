"""Image prompts on the command line: pictures, files, rerun, batch and refusals."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.image_adapters import save_image_adapter, save_image_encoder
from helpers.pictures import gradient, sketch
from helpers.tiny import tiny_sd1, tiny_sdxl
from PIL import Image
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")
ADAPTER = ("--ip-adapter", "models/ip.safetensors")


@pytest.fixture
def workshop(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = work_in(tmp_path / "work", monkeypatch, tiny_model)
    save_image_adapter(tiny_sd1(), Path("models/ip.safetensors"))
    sketch(60, 40).save("frog.png")
    gradient(32, 32).save("start.png")
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 16, 32))
    mask.save("mask.png")
    return home


def test_it_shows_and_at_scale_0_it_is_the_plain_picture(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (shown,) = TXT2IMG.make("a cat", "--seed", "4", "--image-prompt", "frog.png", *ADAPTER)
    monkeypatch.setattr("sdloop.pipeline.loaded_model.image_adapters_for", lambda *_: 1 / 0)
    (plain,) = TXT2IMG.make("a cat", "--seed", "4")
    (off,) = TXT2IMG.make("a cat", "--seed", "4", "--image-prompt", "frog.png:0", *ADAPTER)
    assert pixels(shown) != pixels(plain) == pixels(off)
    keys = [read_record(Path(name)).made["key"] for name in (shown, plain, off)]
    assert keys[0] != keys[1] == keys[2]


def test_the_picture_remakes_itself_and_with_no_other_file(workshop: Path) -> None:
    command = ("a cat", "--seed", "4", "--image-prompt", "frog.png=mask.png:0.5", *ADAPTER)
    (name,) = TXT2IMG.make(*command)
    assert Command("verify").run(name).exit_code == 0
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert len(recipe.image_prompts_sha256 or ()) == 2
    assert recipe.ip_adapter_sha256 and recipe.image_encoder_sha256
    (again,) = Command("rerun").make(name)
    (scaled,) = Command("rerun").make(name, "--image-prompt", "frog.png=mask.png:0.25")
    (plain,) = Command("rerun").make(name, "--drop", "image_prompts")
    assert pixels(again) == pixels(name) != pixels(scaled)
    assert len({pixels(one) for one in (name, scaled, plain)}) == 3
    assert "frog.png=mask.png:0.5" in CliRunner().invoke(app, ["show", name]).stdout

    Path("moved").mkdir()
    for file in ("frog.png", "mask.png"):
        Path(file).rename(f"moved/{file}")
    Path(name).rename("moved/cat.png")
    (moved,) = Command("rerun").make("moved/cat.png")
    assert pixels(moved) == pixels(again)
    gradient(32, 32).save("frog.png")
    Path("moved/mask.png").rename("mask.png")
    Path("again.jsonl").write_text(json.dumps(recipe.to_dict()))
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'frog.png' is not the file that the recipe was made with" in error
    Path("moved/frog.png").replace("frog.png")
    save_image_adapter(tiny_sd1(), Path("models/ip.safetensors"), seed=3)
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'models/ip.safetensors' is not the IP-Adapter that the recipe was made with" in error
    save_image_adapter(tiny_sd1(), Path("models/ip.safetensors"))
    save_image_encoder(Path("models/image_encoder"), seed=3)
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'models/ip.safetensors' is not the image encoder that the recipe was" in error


def test_several_adapters(workshop: Path) -> None:
    save_image_adapter(tiny_sd1(), Path("models/plus.bin"), "plus")
    cat = ("a cat", "--seed", "4")
    both = (
        "--image-prompt",
        "frog.png:0.5",
        "--image-prompt",
        "models/plus.bin=start.png=mask.png",
    )
    (name,) = TXT2IMG.make(*cat, *both, *ADAPTER)
    (alone,) = TXT2IMG.make(*cat, *both[:2], *ADAPTER)
    named = ("--image-prompt", "models/ip.safetensors=frog.png:0.5")
    (other,) = TXT2IMG.make(*cat, *named)
    assert pixels(name) != pixels(alone) == pixels(other)
    assert read_record(Path(other)).made["key"] == read_record(Path(alone)).made["key"]
    assert Command("verify").run(name).exit_code == 0
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert len(recipe.image_prompts_sha256 or ()) == 5  # two pictures, a mask, adapter and encoder
    Path("moved").mkdir()
    for file in ("frog.png", "mask.png", "start.png", name):
        Path(file).rename(f"moved/{file}")
    (again,) = Command("rerun").make(f"moved/{name}")
    assert pixels(again) == pixels(f"moved/{name}")
    save_image_adapter(tiny_sd1(), Path("models/plus.bin"), "plus", seed=3)
    error = Command("rerun").refused(f"moved/{name}", code=3)
    assert "'models/plus.bin' is not the file that the recipe was made with" in error
    error = TXT2IMG.refused(*cat, *named, *ADAPTER)
    assert error == "ip_adapter is not used: each of image_prompts names its own"


def test_batch_and_sweep(workshop: Path) -> None:
    swept = r"image_prompts=frog.png:0.5,frog.png=0\,0\,0.5\,1,start.png:0.5"
    arguments = ("a cat", "--seed", "4,5", "--sweep", swept, "--outdir", "out", "--batch-size", "4")
    made = Command("batch").make(*arguments, *ADAPTER)
    assert len({pixels(name) for name in made}) == 6


@pytest.mark.parametrize(
    ("command", "more"),
    [
        ("img2img", ("start.png", "a cat", "--strength", "0.9")),
        ("inpaint", ("start.png", "a cat", "--mask", "mask.png")),
        ("outpaint", ("start.png", "a cat", "--right", "16")),
        ("upscale", ("start.png", "a cat", "--strength", "0.9", "--factor", "1.5")),
        ("mix", ("a cat:0.5", "a dog:0.5")),
    ],
)
def test_each_command_takes_them(workshop: Path, command: str, more: tuple[str, ...]) -> None:
    run = Command(command, steps=2)
    (plain,) = run.make(*more, "--seed", "4")
    (shown,) = run.make(*more, "--seed", "4", "--image-prompt", "frog.png", *ADAPTER)
    assert pixels(plain) != pixels(shown)


def test_animate_shows_them_to_each_frame(workshop: Path) -> None:
    sketch(32, 32).save("in.gif", save_all=True, append_images=[gradient(32, 32)])
    flags = ("--strength", "0.9", "--seed", "4", "-o")
    (plain,) = Command("animate").make("in.gif", "a cat", *flags, "plain.gif")
    shown = ("--image-prompt", "frog.png=0,0,0.5,1", *ADAPTER)
    (steered,) = Command("animate").make("in.gif", "a cat", *flags, "shown.gif", *shown)
    assert pixels(plain) != pixels(steered)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--image-prompt none.png", "image_prompts: cannot read 'none.png': No such file"),
        ("--image-prompt frog.png=none.png", "cannot read 'none.png': No such file"),
        ("--image-prompt frog.png=frog.png", "an image prompt's mask must have the picture's size"),
        ("--image-prompt frog.png --ip-adapter ./none.bin", "there is no folder none.bin"),
        ("--image-prompt frog.png:inf", "image_prompts.scale must be a finite number, got inf"),
        ("--image-prompt frog.png --ip-adapter large/ip.safetensors",
         "ip_adapter must be made for the model's family: large/ip.safetensors has the "
         "cross_attention_dim 64"),
        ("--image-prompt frog.png --image-encoder ./none", "there is no folder none"),
        ("", "ip_adapter needs image_prompts, but none are given"),
    ],
)  # fmt: skip
def test_refusals(workshop: Path, arguments: str, message: str) -> None:
    if "large" in arguments:
        save_image_adapter(tiny_sdxl(), Path("large/ip.safetensors"))
    result = TXT2IMG.run("a cat", "--seed", "4", *ADAPTER, *arguments.split())
    assert result.exit_code in (2, 3)
    assert result.stderr.startswith("sdloop: error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_the_model_alone_sees_none(workshop: Path) -> None:
    arguments = ["inspect", "prompt", "a cat", "--image-prompt", "frog.png", *ADAPTER]
    result = CliRunner().invoke(app, arguments)
    assert "image_prompts must not be set here, where the model itself is shown" in result.stderr


def test_outpainting_has_no_places(workshop: Path) -> None:
    flags = ("--seed", "4", "--image-prompt", "frog.png=0,0,0.5,1", *ADAPTER)
    error = Command("outpaint").refused("start.png", "a cat", "--right", "16", *flags)
    assert error == "image_prompts must have no place with outpainting, whose windows move"
