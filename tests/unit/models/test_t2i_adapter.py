"""T2I-Adapters on disk: single files in both layouts, and what no UNet of the model takes."""

from pathlib import Path

import pytest
import torch
from helpers.controls import save_adapter, tiny_adapter, with_blocks
from helpers.tiny import tiny_sd1, tiny_sdxl
from safetensors.torch import save_file
from torch import Tensor

from sdloop.errors import ModelError
from sdloop.models.checkpoint.control import check_control, find_control
from sdloop.models.components.control import controlnets_for
from sdloop.models.components.load import Components
from sdloop.pipeline.resolve import Resolver
from sdloop.recipe.recipe import Recipe

DOWN, CROSS = "DownBlock2D", "CrossAttnDownBlock2D"
MODELS = {
    "full": lambda: with_blocks(tiny_sd1(), CROSS, CROSS, CROSS, DOWN),
    "light": lambda: with_blocks(tiny_sd1(), CROSS, CROSS, DOWN),
    "large": lambda: with_blocks(tiny_sdxl(), DOWN, CROSS, CROSS),
}
LIGHT = {"adapter_type": "light_adapter", "channels": [32, 64], "num_res_blocks": 4}


def authors_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The names of the adapters' authors; see diffusers' convert_original_t2i_adapter.py."""
    full = "adapter.conv_in.weight" in tensors
    return {_authors_name(name, full=full): tensor for name, tensor in tensors.items()}


def _authors_name(name: str, *, full: bool) -> str:
    _, *parts = name.split(".")
    if full and parts[0] == "body":
        block = int(parts[3]) if parts[2] == "resnets" else 0
        rest = parts[4:] if parts[2] == "resnets" else parts[2:]
        parts = ["body", str(2 * int(parts[1]) + block), *rest]
    return ".".join("body" if part == "resnets" else part for part in parts)


@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("layout", ["folder", "diffusers", "authors", "pickle"])
@pytest.mark.filterwarnings("ignore::UserWarning")  # about the pickle
def test_all_layouts_are_the_same_adapter(
    tmp_path: Path, kind: str, layout: str, colours: int
) -> None:
    components = MODELS[kind]()
    options = LIGHT if kind == "light" else {"num_res_blocks": 2}
    adapter = tiny_adapter(components, in_channels=colours, **options)
    tensors = {name: tensor.contiguous() for name, tensor in adapter.state_dict().items()}
    file = tmp_path / ("it.pth" if layout == "pickle" else "it.safetensors")
    if layout == "folder":
        adapter.save_pretrained(tmp_path)
        file = tmp_path
    elif layout == "diffusers":
        save_file(tensors, file)
    elif layout == "authors":
        save_file(authors_names(tensors), file)
    else:
        torch.save(authors_names(tensors), file)
    (loaded,) = controlnets_for(components, [find_control(str(file), "t2i_adapters")])
    kept = loaded.state_dict()
    assert kept.keys() == tensors.keys()
    assert all(torch.equal(kept[name], tensor) for name, tensor in tensors.items())
    shared = {name: value for name, value in adapter.config.items() if not name.startswith("_")}
    assert {name: loaded.config[name] for name in shared} == shared
    picture = torch.rand(1, colours, 64, 64)
    assert all(map(torch.equal, loaded(picture), adapter(picture)))


def refusal(components: Components, path: Path) -> str:
    file = find_control(str(path), "t2i_adapters")
    with pytest.raises(ModelError) as caught:
        check_control(file, components.unet.config, "the model", components.vae_factor)
    return str(caught.value).replace(str(path), "it")


def test_what_the_unet_does_not_take_is_refused(tmp_path: Path) -> None:
    full, large = MODELS["full"](), MODELS["large"]()
    family = "t2i_adapters must be made for the model's family: "
    assert refusal(large, save_adapter(full, tmp_path / "full")) == (
        f"{family}it adds 32 channels for 2 pixels, 64 channels for 4 pixels, 64 channels for 8 "
        "pixels, 64 channels for 16 pixels, and the model takes 32 channels for 4 pixels, 64 "
        "channels for 4 pixels, 64 channels for 8 pixels"
    )
    for name, options in {
        "wide": {"channels": [32, 64, 64, 32]},
        "short": {"channels": [32, 64, 64]},
        "small": {"downscale_factor": 4},
        "light": {"adapter_type": "light_adapter"},
    }.items():
        assert refusal(full, save_adapter(full, tmp_path / name, **options)).startswith(family)
    file = tmp_path / "it.safetensors"  # it does not say its kind, only its sizes
    save_file(authors_names(dict(tiny_adapter(large, num_res_blocks=2).state_dict())), file)
    assert refusal(full, file).startswith(f"{family}it adds 32 channels for 4 pixels")
    rule = "t2i_adapters must have in_channels 1 or 3, got 4: it"
    assert refusal(full, save_adapter(full, tmp_path / "four", in_channels=4)) == rule


def test_the_embedded_model_takes_one_like_those_of_sdxl(tmp_path: Path) -> None:
    """An adapter like those of SD 1 ended in torch's words about sizes."""
    checkpoint = Resolver(open_image=open).checkpoint(Recipe(prompt="a", seed=0))
    config, factor = checkpoint.configs["unet"], checkpoint.size_multiple
    channels = list(config["block_out_channels"])
    for options, fits in (
        ({"channels": channels, "downscale_factor": 8}, False),
        ({"channels": [*channels, 128], "downscale_factor": 16,
          "adapter_type": "full_adapter_xl"}, True),
    ):  # fmt: skip
        save_adapter(tiny_sd1(), tmp_path / "it", **options)
        file = find_control(str(tmp_path / "it"), "t2i_adapters")
        if fits:
            check_control(file, config, "mini", factor)
        else:
            with pytest.raises(ModelError, match="mini takes 64 channels for 16 pixels, 128"):
                check_control(file, config, "mini", factor)


@pytest.mark.parametrize(
    ("name", "what"),
    [
        ("controlnet_cond_embedding.conv_in.weight", "a ControlNet (use it with --control)"),
        ("lora_unet_x.lora_up.weight", "a LoRA (use it with --lora)"),
        ("down_blocks.0.resnets.0.conv1.weight", "a UNet"),
        ("x", "not a T2I-Adapter: it has no blocks for a picture of edges or depths"),
    ],
)
def test_other_files_are_refused_by_name(tmp_path: Path, name: str, what: str) -> None:
    file = tmp_path / "it.safetensors"
    save_file({name: torch.zeros(1)}, file)
    with pytest.raises(ModelError) as caught:
        find_control(str(file), "t2i_adapters")
    assert str(caught.value) == f"{file} is {what}"
