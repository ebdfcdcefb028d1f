"""What pictures are steered with, in batches, sweeps, verify and rerun, on the three families."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import pytest
from helpers.commands import Command, pixels, work_in
from helpers.controls import save_adapter, save_control
from helpers.image_adapters import save_image_adapter
from helpers.pictures import gradient, sketch
from helpers.tiny import save_diffusers_folder, tiny_sd1, tiny_sd2, tiny_sdxl
from helpers.vision import save_clipseg
from PIL import Image

from sdloop.models.components.load import Components

FAMILIES: Mapping[str, Callable[[], Components]] = {
    "sd1": tiny_sd1, "sd2": tiny_sd2, "sdxl": tiny_sdxl,
}  # fmt: skip


class Part(NamedTuple):
    """A setting, its flag, two values, and the flags beside it."""

    setting: str
    flag: str
    values: tuple[str, str]
    beside: tuple[str, ...] = ()


PARTS = {
    "control": Part("controls", "--control", ("net=canny:photo.png:0.8", "net=photo.png:0.8")),
    "t2i": Part("t2i_adapters", "--t2i", ("adapter=photo.png", "adapter=photo.png:0.5")),
    "seen": Part("image_prompts", "--image-prompt", ("photo.png=mask.png", "other.png=mask.png"),
                 ("--ip-adapter", "models/ip.safetensors")),
    "adapter": Part("image_prompts", "--image-prompt", ("models/plus.safetensors=photo.png",
                                                        "models/ip.safetensors=photo.png")),
    "region": Part("regions", "--region", ("a dog=mask.png", "a hat=mask.png")),
    "words": Part("mask", "--mask", ("text:the face", "text:a dog"), ("--mask-model", "seg")),
    "seamless": Part("seamless", "--seamless", ("x", "xy")),
}  # fmt: skip
QUICK = {("control", "sdxl"), ("t2i", "sd2"), ("seen", "sdxl"), ("words", "sd1"),
         ("adapter", "sd1"),
         ("seamless", "sd1"), ("region", "sd2")}  # fmt: skip


def save_all(family: str) -> None:
    """A model and all that its pictures are steered with, in this folder."""
    components = FAMILIES[family]()
    save_diffusers_folder(components, Path("model"))
    save_control(components, Path("net"))
    save_adapter(components, Path("adapter"))
    save_image_adapter(components, Path("models/ip.safetensors"))
    save_image_adapter(components, Path("models/plus.safetensors"), "plus")
    save_clipseg(Path("seg"))
    sketch(32, 32).save("photo.png")
    gradient(32, 32).save("other.png")
    mask = Image.new("L", (32, 32))
    mask.paste(255, (0, 0, 16, 32))
    mask.save("mask.png")


@pytest.mark.parametrize(
    ("part", "family"),
    [
        pytest.param(part, family, marks=() if (part, family) in QUICK else pytest.mark.slow)
        for part in PARTS for family in FAMILIES
    ],
)  # fmt: skip
def test_a_part_in_all_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, part: str, family: str
) -> None:
    work_in(tmp_path / "work", monkeypatch, Path("model"))
    save_all(family)
    setting, flag, values, beside = PARTS[part]
    first, start = ("txt2img",), ()
    if part == "words":
        first, start = ("inpaint", "photo.png"), ("--image", "photo.png")
    command = Command(first[0])
    steered = (*first[1:], "a cat", "--seed", "4", *beside, flag, values[0])
    (alone,) = command.make(*steered, "-o", "one.png")
    (plain,) = Command("txt2img").make("a cat", "--seed", "4", "-o", "plain.png")
    assert pixels(alone) != pixels(plain)
    assert Command("verify").run(alone).exit_code == 0
    (again,) = Command("rerun").make(alone)
    assert pixels(again) == pixels(alone)

    swept = f"{setting}={','.join(values)}"
    batch = ("a cat", "--seed", "4,5", *start, *beside, "--sweep", swept, "--outdir", "out")
    made = Command("batch").make(*batch)
    assert len({pixels(name) for name in made}) == 4
    assert pixels(alone) in {pixels(name) for name in made}
    assert Command("batch").make(*batch) == []  # all of them are there
