"""Pictures that become maps for ControlNets: on the command line, in files, and what is refused."""

import json
from pathlib import Path

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.controls import save_adapter, save_control
from helpers.pictures import sketch
from helpers.tiny import tiny_sd1
from helpers.vision import save_depth_model, save_pose_model
from PIL import Image

from sdloop.metadata.picture import read_record
from sdloop.models.components.depth import DepthModel, load_depth_model
from sdloop.recipe.controls import Control, parse_control
from sdloop.recipe.recipe import Recipe

TXT2IMG = Command("txt2img")
CAT = ("a cat", "--seed", "4")


@pytest.fixture(autouse=True)
def here(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    home = work_in(tmp_path / "work", monkeypatch, tiny_model)
    save_control(tiny_sd1(), home / "net")
    save_adapter(tiny_sd1(), home / "adapter")
    sketch(48, 32).save("photo.png")
    return home


def inspected(*arguments: str) -> str:
    result = Command("inspect").run("control", *arguments, "--overwrite", "-o", "map.png")
    assert result.exit_code == 0, result.stderr
    assert result.stdout == "map.png\n"
    return "map.png"


def key(name: str) -> str:
    return str(read_record(Path(name)).made["key"])


@pytest.mark.parametrize("kind", ["canny", "soft-edge", "lineart", "grey"])
def test_the_map_is_that_of_inspect_at_the_size_of_the_picture(kind: str) -> None:
    inspected("photo.png", "--preprocess", kind, "--size", "32x32")
    assert Image.open("map.png").size == (32, 32)
    (made,) = TXT2IMG.make(*CAT, "--control", f"net={kind}:photo.png:0.8")
    (same,) = TXT2IMG.make(*CAT, "--control", "net=map.png:0.8")
    (plain,) = TXT2IMG.make(*CAT, "--control", "net=photo.png:0.8")
    assert pixels(made) == pixels(same) != pixels(plain)
    # For all that do not say it themselves, in another place; the pixels and the key are the same.
    (by_flag,) = TXT2IMG.make(*CAT, "--control", "net=photo.png:0.8", "--preprocess", kind)
    assert pixels(by_flag) == pixels(made)
    assert key(by_flag) == key(made) != key(plain)


def test_each_picture_may_have_its_own() -> None:
    inspected("photo.png", "--preprocess", "canny", "--size", "32x32")
    Path("map.png").rename("edges.png")
    inspected("photo.png", "--preprocess", "grey", "--size", "32x32")
    (made,) = TXT2IMG.make(
        *CAT, "--control", "net=canny:photo.png", "--t2i", "adapter=photo.png", "--preprocess",
        "grey",
    )  # fmt: skip
    (same,) = TXT2IMG.make(*CAT, "--control", "net=edges.png", "--t2i", "adapter=map.png")
    assert pixels(made) == pixels(same)


def test_the_picture_remakes_itself() -> None:
    (name,) = TXT2IMG.make(*CAT, "--control", "net=canny:photo.png:0.8:0..0.5")
    assert Command("verify").run(name).exit_code == 0
    assert pixels(Command("rerun").make(name)[0]) == pixels(name)
    recipe = read_record(Path(name)).recipe
    assert recipe is not None
    assert str(recipe.controls[0]) == "net=canny:photo.png:0.8:0..0.5"
    Path("moved").mkdir()
    for file in ("photo.png", name):
        Path(file).rename(f"moved/{file}")
    (moved,) = Command("rerun").make(f"moved/{name}")
    assert pixels(moved) == pixels(f"moved/{name}")
    (grey,) = Command("rerun").make(f"moved/{name}", "--control", "net=grey:moved/photo.png:0.8")
    assert key(grey) != key(moved) == key(f"moved/{name}")
    swept = ("--control", "net=moved/photo.png:0.8:0..0.5", "--sweep", "preprocess=canny,grey")
    made = Command("batch").make(*CAT, *swept, "--outdir", "swept")
    assert len(made) == 2 and key(made[0]) == key(moved) != key(made[1])


def test_hires_fitting_and_padding_come_before_the_map() -> None:
    """The border of a padded picture is no edge."""
    Image.new("RGB", (48, 32), "white").save("white.png")
    for options in (["--resize", "pad"], ["--hires", "2", "--strength", "0.8"]):
        (made,) = TXT2IMG.make(*CAT, "--control", "net=canny:white.png", *options)
        Image.new("RGB", (48, 32), "black").save("black.png")
        (same,) = TXT2IMG.make(*CAT, "--control", "net=black.png", *options)
        assert pixels(made) == pixels(same)


def test_depths_come_from_a_model(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_depth_model(here / "depths", "dpt")
    depth = ("--preprocess-model", "depths")
    inspected("photo.png", "--preprocess", "depth", *depth, "--size", "32x32")
    asked = []
    find = DepthModel.depths
    monkeypatch.setattr(DepthModel, "depths", lambda *a: asked.append(1) or find(*a))
    made = TXT2IMG.make(*CAT[:1], "--control", "net=depth:photo.png", *depth, "--seed", "4..6")
    assert len(made) == 3 and asked == [1]
    (same,) = TXT2IMG.make(*CAT, "--control", "net=map.png")
    assert pixels(made[0]) == pixels(same)
    recipe = read_record(Path(made[0])).recipe
    assert recipe is not None
    assert recipe.preprocess_model == "depths" and recipe.preprocess_model_sha256 is not None
    assert Command("verify").run(made[0]).exit_code == 0
    Path("depths").rename("elsewhere")
    (again,) = Command("rerun").make(made[0], "--preprocess-model", "elsewhere")
    assert key(again) == key(made[0])
    save_depth_model(here / "depths", "dpt", seed=1)
    error = Command("rerun").refused(made[0], "-o", "no.png", code=3)
    assert "'depths' is not the preprocess_model that the recipe was made with" in error
    load_depth_model.cache_clear()


def test_the_pose_comes_from_a_model(here: Path) -> None:
    save_pose_model(here / "poses")
    pose = ("--preprocess-model", "poses")
    inspected("photo.png", "--preprocess", "pose", *pose, "--size", "32x32")
    (made,) = TXT2IMG.make(*CAT, "--control", "net=pose:photo.png", *pose)
    (same,) = TXT2IMG.make(*CAT, "--control", "net=map.png")
    assert pixels(made) == pixels(same)
    assert Image.open("map.png").convert("L").getextrema()[1] > 0
    assert Command("verify").run(made).exit_code == 0
    save_pose_model(here / "poses", seed=1)
    error = Command("rerun").refused(made, "-o", "no.png", code=3)
    assert "'poses' is not the preprocess_model that the recipe was made with" in error
    save_pose_model(here / "hands", points=21)
    for name, message in (
        ("hands", "preprocess_model must find the 17 points of COCO, got 21: hands"),
        ("depths", "preprocess_model must be of the type vitpose, got 'depth_anything': depths"),
    ):
        save_depth_model(here / "depths")
        model = ("--preprocess", "pose", "--preprocess-model", name)
        assert message in Command("inspect").refused("control", "photo.png", *model, code=3)


def test_what_cannot_be_made_into_a_map() -> None:
    net = ("--control", "net=photo.png")
    kinds = "must be one of canny, soft-edge, lineart, grey, depth, pose, got 'openpose'"
    both = ("--control", "net=pose:photo.png", "--t2i", "adapter=depth:photo.png")
    for arguments, message in (
        ([*net, "--preprocess", "openpose"], f"preprocess {kinds}: for others, make the map"),
        (["--control", "net=openpose:photo.png"], f"controls.preprocess {kinds}"),
        (["--t2i", "adapter=hed:photo.png"], "t2i_adapters.preprocess must be one of"),
        (["--preprocess", "canny"], "preprocess needs controls or t2i_adapters whose picture"),
        (["--control", "net=grey:photo.png", "--preprocess", "canny"], "does not say it itself"),
        ([*net, "--preprocess-model", "x"], "preprocess_model needs the preprocess depth or"),
        (both, "preprocess_model is one model, and cannot make depth and pose"),
    ):
        assert message in TXT2IMG.refused(*CAT, *arguments)
    missing = [*net, "--preprocess", "depth", "--preprocess-model", "gone/"]
    assert "gone" in TXT2IMG.refused(*CAT, *missing, code=3)
    for arguments, message in (
        ([], "image must be given"),
        (["photo.png"], "preprocess must be given"),
        (["photo.png", "--preprocess", "openpose"], kinds),
        (["photo.png", "--preprocess", "canny", "--size", "0x3"], "size must be at least 1, got 0"),
        (["photo.png", "--preprocess", "canny", "--preprocess-model", "x"], "needs the preprocess"),
    ):
        assert message in Command("inspect").refused("control", *arguments)


def test_texts_and_tables_of_controls_with_maps() -> None:
    one = parse_control("net=soft-edge:C:/photo.png:0.8")
    assert (one.preprocess, one.image, one.scale) == ("soft-edge", "C:/photo.png", 0.8)
    assert parse_control(str(one)) == one
    named = Control(model="net", image="canny:photo.png")  # a file of this name
    assert str(named) == "net=./canny:photo.png"
    assert parse_control(str(named)).preprocess is None
    recipe = Recipe(prompt="a", seed=4, controls=[one], preprocess=None)
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe
