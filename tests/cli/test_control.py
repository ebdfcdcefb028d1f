"""ControlNets on the command line: pictures, files, rerun, batch and refusals."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.controls import save_adapter, save_control, save_union, tiny_control
from helpers.pictures import gradient, sketch
from helpers.tiny import tiny_sd1, tiny_sdxl
from typer.testing import CliRunner

from sdloop.cli import app
from sdloop.metadata.picture import read_record

TXT2IMG = Command("txt2img")


@pytest.fixture
def workshop(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = work_in(tmp_path / "work", monkeypatch, tiny_model)
    save_control(tiny_sd1(), home / "net")
    gradient(32, 32).save("edges.png")
    return home


def test_it_steers_and_at_scale_0_it_is_the_plain_picture(
    workshop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (steered,) = TXT2IMG.make("a cat", "--seed", "4", "--control", "net=edges.png")
    monkeypatch.setattr("sdloop.pipeline.loaded_model.controlnets_for", lambda *_: 1 / 0)
    (plain,) = TXT2IMG.make("a cat", "--seed", "4")
    (off,) = TXT2IMG.make("a cat", "--seed", "4", "--control", "net=edges.png:0", "--guess-mode")
    assert pixels(steered) != pixels(plain) == pixels(off)
    keys = [read_record(Path(name)).made["key"] for name in (steered, plain, off)]
    assert keys[0] != keys[1] == keys[2]


def test_the_picture_remakes_itself_and_with_no_other_file(workshop: Path) -> None:
    command = ("a cat", "--seed", "4", "--control", "net=edges.png:0.5:0..0.5", "--guess-mode")
    (name,) = TXT2IMG.make(*command)
    assert Command("verify").run(name).exit_code == 0
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    (control,) = recipe.controls
    assert control.model_sha256 and control.image_sha256
    (again,) = Command("rerun").make(name)
    (scaled,) = Command("rerun").make(name, "--control", "net=edges.png:0.25")
    assert pixels(again) == pixels(name) != pixels(scaled)
    shown = CliRunner().invoke(app, ["show", name]).stdout
    assert f"net=edges.png:0.5:0..0.5  {control.model_sha256}  {control.image_sha256}" in shown

    Path("moved").mkdir()
    Path("edges.png").rename("moved/edges.png")
    Path(name).rename("moved/cat.png")
    (moved,) = Command("rerun").make("moved/cat.png")
    assert pixels(moved) == pixels(again)
    sketch(32, 32).save("edges.png")
    Path("again.jsonl").write_text(json.dumps(recipe.to_dict()))
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'edges.png' is not the control picture that the recipe was made with" in error
    Path("moved/edges.png").replace("edges.png")
    save_control(tiny_sd1(), workshop / "net", seed=3)
    error = TXT2IMG.refused("--from-file", "again.jsonl", code=3)
    assert "'net' is not the ControlNet that the recipe was made with" in error


def test_another_size_is_fitted_and_told(workshop: Path) -> None:
    gradient(48, 32).save("wide.png")
    made = {}
    for resize, fitted in (("crop", "cropped"), ("pad", "padded"), ("stretch", "stretched")):
        result = TXT2IMG.run(*("a cat", "--seed", "4", "--steps", "1", "--resize", resize),
                             *("--control", "net=wide.png", "-o", f"{resize}.png"))  # fmt: skip
        assert result.exit_code == 0, result.stderr
        assert f"the control picture 'wide.png' is 48x32: {fitted} to 32x32" in result.stderr
        made[resize] = pixels(f"{resize}.png")
    assert len(set(made.values())) == 3


def test_batch_and_sweep(workshop: Path) -> None:
    swept = "controls=net=edges.png:0.5,net=edges.png:1:0..0.5,"
    arguments = ("a cat", "--seed", "4,5", "--sweep", swept, "--outdir", "out")
    made = Command("batch").make(*arguments)
    assert len({pixels(name) for name in made}) == 6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--control net=none.png", "controls: cannot read 'none.png': No such file or directory"),
        ("--control ./none=edges.png", "there is no folder none"),
        ("--control net=edges.png:nan", "controls.scale must be a finite number, got nan"),
        ("--guess-mode", "guess_mode needs controls, but none are given"),
        ("--resize pad", "resize is for pictures that start from an image, and no image is given"),
        ("--control net=edges.png --resize fit",
         "resize must be crop, pad or stretch without an input picture, got 'fit'"),
        ("--control sdxl=edges.png",
         "controls must be made for the model's family: sdxl has the cross_attention_dim 64"),
        ("--control edges=edges.png",
         "controls must be made for the model's family: edges is the embedded model's, and does "
         "not suit"),
    ],
)  # fmt: skip
def test_refusals(workshop: Path, arguments: str, message: str) -> None:
    if "sdxl" in arguments:
        tiny_control(tiny_sdxl()).save_pretrained("sdxl")
    result = TXT2IMG.run("a cat", "--seed", "4", *arguments.split())
    assert result.exit_code in (2, 3)
    assert result.stderr.startswith("sdloop: error: ")
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


UNION = {"addition_time_embed_dim": 8}  # which SD 1's config does not have


def test_a_union_is_told_what_the_picture_is(workshop: Path) -> None:
    """By its mode, or by how its map is made."""
    save_union(tiny_sd1(), workshop / "union", **UNION)
    sketch(32, 32).save("photo.png")
    cat = ("a cat", "--seed", "4")
    (canny,) = TXT2IMG.make(*cat, "--control", "union#canny=edges.png:0.5")
    (depth,) = TXT2IMG.make(*cat, "--control", "union#1=edges.png:0.5")
    (both,) = TXT2IMG.make(
        *cat, "--control", "union#3=edges.png:0.5", "--control", "union#depth=edges.png"
    )
    (made,) = TXT2IMG.make(*cat, "--control", "union=canny:photo.png:0.5")
    (same,) = TXT2IMG.make(*cat, "--control", "union#3=photo.png:0.5", "--preprocess", "lineart")
    assert len({pixels(name) for name in (canny, depth, both, made, same)}) == 5
    for name in (both, made):
        assert Command("verify").run(name).exit_code == 0
        assert pixels(Command("rerun").make(name)[0]) == pixels(name)
    assert "union#canny=edges.png:0.5  " in CliRunner().invoke(app, ["show", both]).stdout
    swept = ("--sweep", "controls=union#canny=edges.png:0.5,union#depth=edges.png:0.5")
    swept_pictures = Command("batch").make(*cat, *swept, "--outdir", "out")
    assert [pixels(name) for name in swept_pictures] == [pixels(canny), pixels(depth)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--control union=edges.png", "controls.mode must be given for a ControlNet-Union, as in "
         "union#canny=edges.png: one of pose, depth, soft-edge, canny, normal, segment"),
        ("--control union=grey:edges.png", "controls.mode must be given for a ControlNet-Union"),
        ("--control union#tile=edges.png", "controls.mode must be below 6 for union, got 6"),
        ("--control net#canny=edges.png",
         "controls.mode is for a ControlNet-Union, and net is none, got 3"),
        ("--control union#cany=edges.png", "controls.mode must be pose, depth, soft-edge, canny"),
        ("--t2i net#canny=edges.png", "t2i_adapters must be a T2IAdapter, got ControlNetModel"),
        ("--control-mode canny",
         "write the mode behind the model, as in --control union#canny=edges.png"),
    ],
)  # fmt: skip
def test_refused_modes(workshop: Path, arguments: str, message: str) -> None:
    save_union(tiny_sd1(), workshop / "union", **UNION)
    result = TXT2IMG.run("a cat", "--seed", "4", *arguments.split())
    assert result.exit_code == (3 if "--t2i" in arguments else 2)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_range_without_a_step_is_refused(workshop: Path) -> None:
    control = "net=edges.png:1:0.5..0.6"
    result = TXT2IMG.run("a cat", "--seed", "4", "--steps", "2", "--control", control)
    assert result.exit_code == 2
    assert "must act in at least one step" in result.stderr
    assert "0.5..0.6 holds none of" in result.stderr


def test_a_t2i_adapter_is_used_like_a_controlnet(workshop: Path) -> None:
    save_adapter(tiny_sd1(), workshop / "adapter")
    (plain,) = TXT2IMG.make("a cat", "--seed", "4")
    (off,) = TXT2IMG.make("a cat", "--seed", "4", "--t2i", "adapter=edges.png:0")
    (name,) = TXT2IMG.make("a cat", "--seed", "4", "--t2i", "adapter=edges.png:0.5:0..0.5")
    (both,) = TXT2IMG.make(*("a cat", "--seed", "4", "--control", "net=edges.png"),
                           *("--t2i", "adapter=edges.png:0.5"))  # fmt: skip
    assert len({pixels(one) for one in (plain, name, both)}) == 3
    assert pixels(off) == pixels(plain)
    (again,) = Command("rerun").make(name)
    assert pixels(again) == pixels(name)
    recipe = read_record(Path(name)).recipe
    assert recipe is not None and recipe.t2i_adapters[0].model_sha256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--t2i net=edges.png", "t2i_adapters must be a T2IAdapter, got ControlNetModel: net"),
        ("--control adapter=edges.png", "controls must be a ControlNetModel, got T2IAdapter"),
        ("--t2i large=edges.png", "t2i_adapters must be made for the model's family: large adds "
         "32 channels for 4 pixels, 64 channels for 4 pixels, and "),
        ("--t2i adapter=none.png", "t2i_adapters: cannot read 'none.png'"),
        ("--t2i adapter=edges.png:inf", "t2i_adapters.scale must be a finite number, got inf"),
        ("--t2i adapter=edges.png --size 64x64 --tile 32",
         "t2i_adapters see the whole picture, and cannot be combined with tile, got tile 32"),
    ],
)  # fmt: skip
def test_refused_t2i_adapters(workshop: Path, arguments: str, message: str) -> None:
    save_adapter(tiny_sd1(), workshop / "adapter")
    save_adapter(tiny_sdxl(), workshop / "large")
    result = TXT2IMG.run("a cat", "--seed", "4", *arguments.split())
    assert result.exit_code in (2, 3)
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_what_cannot_be_steered(workshop: Path) -> None:
    sketch(32, 32).save("in.png")
    save_adapter(tiny_sd1(), workshop / "adapter")
    sketch(32, 32).save("in.gif", save_all=True, append_images=[gradient(32, 32)])
    for field, *control in (("controls", "--control", "net=edges.png"),
                            ("t2i_adapters", "--t2i", "adapter=edges.png")):  # fmt: skip
        flags = ("a cat", "--seed", "4", *control)
        error = Command("outpaint").refused("in.png", *flags, "--right", "16")
        assert error == f"{field} are not supported by outpainting"
        error = Command("animate").refused("in.gif", *flags)
        assert error.startswith(f"{field} cannot be used for frames")
