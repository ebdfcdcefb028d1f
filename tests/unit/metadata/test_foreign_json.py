"""Settings in one JSON object: detecting the program, the settings read, and no false prompts."""

import html
import json
from pathlib import Path
from typing import Any

import pytest
from helpers.foreign import COMFYUI, DRAW_THINGS, FOOOCUS, NOVELAI, SWARM, mflux_exif, png_with
from PIL import Image, PngImagePlugin

from sdloop.errors import FileError
from sdloop.metadata.picture import read_record
from sdloop.metadata.record import Record
from sdloop.recipe.recipe import Recipe

COMMON = {"negative_prompt": "blurry", "seed": 4, "steps": 4, "width": 32, "height": 32}
KARRAS = {"scheduler": "euler", "sigmas": "karras"}


def _read(path: Path, **texts: Any) -> Record:
    record = read_record(png_with(path / "a.png", **texts))
    Recipe.from_dict(record.settings)
    return record


def test_swarmui(tmp_path: Path) -> None:
    record = _read(tmp_path, parameters=json.dumps(SWARM, indent=2))
    assert (record.source, record.model) == ("swarmui", "photo_v1")
    assert record.settings == {
        **COMMON,
        **KARRAS,
        "prompt": "a red frog <lora:ink:0.8>",
        "guidance_scale": 2.0,
        "clip_skip": 2,
    }
    assert record.left_out == ()


def test_what_swarmui_does_and_we_do_not(tmp_path: Path) -> None:
    values = SWARM["sui_image_params"] | {
        "prompt": "a red frog <segment:face>",
        "initimage": "sketch.png",
        "loraweights": ["much"],
    }
    record = _read(tmp_path, parameters={"sui_image_params": values})
    assert record.left_out == (
        "prompt: SwarmUI's tag <segment:… is plain text in sdloop",
        "lora: ink at much",
        "initimage: sketch.png",
    )


def test_fooocus(tmp_path: Path) -> None:
    record = _read(tmp_path, parameters=FOOOCUS)
    assert (record.source, record.model) == ("fooocus", "juggernautXL_v8")
    assert record.settings == {
        **COMMON,
        **KARRAS,
        "prompt": "a red frog <lora:ink:0.8>",
        "guidance_scale": 2.0,
        "clip_skip": 2,
    }
    assert record.left_out == ("sharpness: 2.0",)


def _xmp(values: dict[str, Any]) -> str:
    text = html.escape(json.dumps(values))
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF><rdf:Description><exif:UserComment>\n'
        f'<rdf:Alt><rdf:li xml:lang="x-default">{text}</rdf:li></rdf:Alt></exif:UserComment>'
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    )


def test_draw_things(tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_itxt("XML:com.adobe.xmp", _xmp(DRAW_THINGS))
    picture = Image.new("RGB", (32, 32))
    picture.save(tmp_path / "a.png", pnginfo=info)
    picture.save(tmp_path / "a.jpg", xmp=_xmp(DRAW_THINGS).encode())
    picture.save(tmp_path / "b.jpg", exif=mflux_exif(DRAW_THINGS))
    for name in ("a.png", "a.jpg", "b.jpg"):
        record = read_record(tmp_path / name)
        assert (record.source, record.model) == ("drawthings", "photo_v1.ckpt")
        assert record.settings == {
            **COMMON,
            "prompt": "a red frog <lora:ink:0.8>",
            "guidance_scale": 2.0,
            "scheduler": "euler-a",
        }
        assert record.left_out == (
            "seed_mode: Scale Alike",
            "strength: 1",
            "noise: Draw Things (the same seed gives another picture in sdloop)",
        )


def test_novelai(tmp_path: Path) -> None:
    record = _read(tmp_path, Comment=NOVELAI, Description="a red frog")
    assert record.source == "novelai"
    assert record.settings == {
        **COMMON,
        "prompt": "a red frog",
        "guidance_scale": 2.0,
        "scheduler": "euler-a",
    }


def test_a_graph_under_another_keyword(tmp_path: Path) -> None:
    assert _read(tmp_path, parameters=COMFYUI).source == "comfyui"


def test_a_graph_in_the_exif_of_a_webp(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0110] = f"prompt:{json.dumps(COMFYUI)}"
    Image.new("RGB", (32, 32)).save(tmp_path / "a.webp", exif=exif)
    assert read_record(tmp_path / "a.webp").source == "comfyui"


NO_PROMPTS = (
    '{"sensor_type": 3, "prompt": "a red frog"}',
    '{"a": "x", "b": "Steps: 1, Seed: 2, Sampler: 3"}',
    '{\n  "a": 1,\n  "b": 2\n',
    '{"a": "Steps: 1, Seed: 2, Sampler: Euler',
    '[{"a": 1}]',
    '["a", "b"]',
    "{}",
)


@pytest.mark.parametrize("text", NO_PROMPTS)
def test_json_of_nobody_we_know_is_no_prompt(tmp_path: Path, text: str) -> None:
    with pytest.raises(FileError, match="contains no settings"):
        read_record(png_with(tmp_path / "a.png", parameters=text))


PROMPTS = ("{red|blue} frog", "[red:blue:0.5] frog", "{ red | blue }", '"a frog", painted', "[[x]]")


@pytest.mark.parametrize("text", PROMPTS)
def test_prompts_that_begin_with_brackets(tmp_path: Path, text: str) -> None:
    for whole in (text, f"{text}\nSteps: 4, Seed: 4, Size: 32x32"):
        record = read_record(png_with(tmp_path / "a.png", parameters=whole))
        assert record.settings["prompt"] == text


def test_numbers_of_a_camera_are_no_settings(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x9286] = "Brightness: 3, Contrast: 4, Sharpness: 5"
    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg", exif=exif)
    with pytest.raises(FileError, match="contains no settings"):
        read_record(tmp_path / "a.jpg")
