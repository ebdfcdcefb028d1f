"""``import sdloop``: pictures in three lines, and the same files as the command line."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers.commands import Command, pixels
from helpers.tiny import save_diffusers_folder, tiny_sd1
from PIL import Image

import sdloop
from sdloop.pipeline.model_names import BY_HAND
from sdloop.recipe.key import content_key


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def made(model: Path, prompt: str = "a cat", **settings: Any) -> sdloop.Picture:
    return sdloop.generate(prompt, model=str(model), **{"steps": 2, "seed": 4} | settings)


def loaded(folder: Path, **settings: Any) -> sdloop.Picture:
    components = sdloop.load_components(str(folder))
    recipe = sdloop.Recipe(**{"prompt": "a cat", "seed": 4, "steps": 2} | settings)
    return sdloop.generate(components, recipe)[0]


def test_the_loaded_model_is_in_the_recipe(tiny_model: Path) -> None:
    picture = loaded(tiny_model)
    assert picture.recipe.model == str(tiny_model)
    saved = sdloop.read(picture.save("cat.png"))
    assert saved.recipe == picture.recipe
    assert sdloop.generate(picture.recipe).image.tobytes() == picture.image.tobytes()


def test_another_vae_is_in_the_recipe_too(tiny_model: Path) -> None:
    vae = str(tiny_model / "vae")
    components = sdloop.load_components(str(tiny_model), vae=vae)
    (picture,) = sdloop.generate(components, sdloop.Recipe(prompt="a cat", seed=4, steps=1))
    assert (picture.recipe.model, picture.recipe.vae) == (str(tiny_model), vae)


def test_a_recipe_of_another_model_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    other = save_diffusers_folder(tiny_sd1(), tmp_path / "other")
    with pytest.raises(sdloop.SettingError, match=r"^model must be the loaded one, .*other"):
        loaded(tiny_model, model=str(other))
    with pytest.raises(sdloop.SettingError, match="model must be the loaded one"):
        loaded(tiny_model, model="nowhere/to-be-found")


def test_a_recipe_may_call_the_loaded_model_by_another_name(
    tiny_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(tiny_model)
    assert loaded(tiny_model, model="link").recipe.model == "link"


def test_components_put_together_by_hand_are_never_called_mini() -> None:
    recipe = sdloop.Recipe(prompt="a cat", seed=4, steps=1)
    (picture,) = sdloop.generate(tiny_sd1(), recipe)
    assert picture.recipe.model == BY_HAND
    assert not {"weights", "key", "revision"} & picture.made.keys()
    (picture,) = sdloop.generate(tiny_sd1(), replace(recipe, model="my own"))
    assert sdloop.read(picture.save("mine.png")).recipe == picture.recipe
    assert picture.recipe.model == "my own"


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_a_saved_picture_is_the_file_of_the_command_line(suffix: str, tiny_model: Path) -> None:
    own = made(tiny_model, "a (🐎:1.2) in 東京", guidance_scale=3).save(f"own.{suffix}")
    Command("txt2img").make(
        "a (🐎:1.2) in 東京", *("--seed", "4", "-g", "3", "-m", str(tiny_model)),
        *("-o", f"theirs.{suffix}"),
    )  # fmt: skip
    assert own.read_bytes() == Path(f"theirs.{suffix}").read_bytes()


def test_less_metadata_is_that_of_the_command_line(tiny_model: Path) -> None:
    picture = made(tiny_model)
    for metadata in ("minimal", "none"):
        own = picture.save(f"own-{metadata}.png", metadata=metadata)  # type: ignore[arg-type]
        command = ["a cat", "--seed", "4", "-m", str(tiny_model), "--metadata", metadata]
        (theirs,) = Command("txt2img").make(*command, "-o", f"{metadata}.png")
        assert own.read_bytes() == Path(theirs).read_bytes()


def test_a_picture_is_saved_where_it_is_told_and_replaces_nothing(tiny_model: Path) -> None:
    picture = made(tiny_model)
    assert picture.save("new/folder/cat.png") == Path("new/folder/cat.png")
    Path("cat.png").write_text("mine")
    with pytest.raises(sdloop.FileError, match=r"cat\.png"):
        picture.save("cat.png")
    assert Path("cat.png").read_text() == "mine"
    assert picture.save(Path("cat.png"), overwrite=True) == Path("cat.png")
    assert pixels("cat.png") == picture.image.tobytes()
    with pytest.raises(sdloop.SettingError, match=r"must end in \.png"):
        picture.save("cat.gif")


def test_read_gives_back_what_was_saved(tiny_model: Path) -> None:
    picture = made(tiny_model)
    saved = sdloop.read(picture.save("cat.png"))
    assert saved.image.tobytes() == picture.image.tobytes()
    assert saved.recipe == picture.recipe
    assert saved.made == {**picture.made, "sigmas": list(picture.sigmas)}
    assert saved.made["key"] == content_key(saved.recipe, saved.made["weights"])
    Image.new("RGB", (8, 8)).save("plain.png")
    with pytest.raises(sdloop.FileError, match="contains no settings"):
        sdloop.read("plain.png")


def test_a_seed_that_nobody_chose_is_recorded(tiny_model: Path) -> None:
    one, other = (made(tiny_model, seed=None) for _ in range(2))
    assert one.recipe.seed != other.recipe.seed
    again = made(tiny_model, seed=one.recipe.seed)
    assert again.image.tobytes() == one.image.tobytes()


def test_settings_go_over_those_of_a_recipe(tiny_model: Path) -> None:
    recipe = sdloop.Recipe(prompt="a cat", seed=4, steps=9, model=str(tiny_model))
    assert sdloop.generate(recipe, steps=2).recipe == made(tiny_model).recipe


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"width": 65}, "width must be a multiple of"),
        ({"clip_skip": 9}, "clip_skip must be at most"),
        (
            {"scheduler": object(), "sigmas": "karras"},
            "sigmas is for the schedulers",
        ),
        ({"scheduler": object()}, "scheduler must have 'set_timesteps'"),
    ],
)
def test_a_bad_setting_is_refused_before_the_model_is_loaded(
    settings: dict[str, Any], message: str, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object, **__: object) -> None:
        raise AssertionError("the model was loaded")

    monkeypatch.setattr("sdloop.pipeline.generate.load_components", load)
    with pytest.raises(sdloop.SettingError, match=message):
        made(tiny_model, **settings)


def test_a_setting_that_no_recipe_has_is_refused(tiny_model: Path) -> None:
    with pytest.raises(sdloop.SettingError, match="did you mean 'guidance_scale'"):
        made(tiny_model, guidance=None, guidence_scale=3)
    components = sdloop.load_components(str(tiny_model))
    with pytest.raises(TypeError, match="takes no steps: set it in the Recipes"):
        sdloop.generate(components, [], steps=3)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="dtype must be given to load_components"):
        sdloop.generate(components, [], dtype="bf16")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="makes one picture"):
        sdloop.generate("a cat", batch_size=2)


def test_a_model_is_loaded_once_until_its_files_change(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sdloop.pipeline import generate

    loads = []
    real = generate.load_components

    def load_components(*arguments: Any, **options: Any) -> Any:
        loads.append(arguments)
        return real(*arguments, **options)

    monkeypatch.setattr(generate, "load_components", load_components)
    model = save_diffusers_folder(tiny_sd1(), tmp_path / "model")
    first = made(model)
    assert made(model).image.tobytes() == first.image.tobytes()
    assert len(loads) == 1
    made(model, dtype="bf16")
    assert len(loads) == 2
    save_diffusers_folder(tiny_sd1(seed=9), tmp_path / "other")
    weights = Path("unet/diffusion_pytorch_model.safetensors")
    (model / weights).write_bytes((tmp_path / "other" / weights).read_bytes())
    assert made(model).image.tobytes() != first.image.tobytes()


def test_importing_sdloop_and_its_errors_brings_nothing_heavy() -> None:
    code = (
        "import sys, sdloop; sdloop.SettingError, sdloop.Recipe, sdloop.read; "
        "assert not {'torch', 'numpy', 'diffusers', 'transformers', 'PIL'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
