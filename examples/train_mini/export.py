"""Put the trained parts together as a folder that diffusers' own ``StableDiffusionPipeline``
loads.

    python examples/train_mini/export.py --run runs/mini --out sdloop/mini
    python examples/train_mini/export.py --run runs/mini --vae runs/decoder/vae --out sdloop/mini

train_unet.py does so at every checkpoint. Weights become float16 safetensors; the VAE's
``scaling_factor`` is the one that the UNet's latents were scaled by.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from cache_latents import encoder_hash, read_header
from data_folder import DataError, open_data
from dataset import Data
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel

SCHEDULER = {
    "_class_name": "EulerDiscreteScheduler",
    "_diffusers_version": "0.42.1",
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "beta_end": 0.02,
    "num_train_timesteps": 1000,
    "prediction_type": "v_prediction",
    "timestep_spacing": "trailing",
    "steps_offset": 1,
    "clip_sample": False,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
}
"""The schedule of ``models.make_noise_schedule`` as Stable Diffusion 1 writes it, for every
scheduler class."""

INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "EulerDiscreteScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}
"""What makes the parts a pipeline; sdloop's own key comes after it, and diffusers passes over
that."""

GUIDANCE = 1.5
"""What sdloop takes where nobody names a scale: below it subjects get vague, above it colours
drift."""

UPSCALE_STRENGTH = 0.08  # more, and it sees scenes of their own in an enlarged one

OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only")
PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")
LARGEST = 16.0
"""MiB a weight file may have, so that a repository can hold it."""


def check_size(part: str, module: nn.Module, largest: float) -> None:
    """Refuse a part whose float16 file would be larger than ``largest`` MiB; better asked before
    hours of training than after."""
    size = sum(value.numel() for value in module.parameters()) * 2 / 2**20
    if size > largest:
        raise SystemExit(
            f"{part}: its file must be at most {largest:g} MiB, would be {size:.1f}: "
            "take fewer --channels or a larger --largest"
        )


def the_vae(run: Path, folder: Path) -> AutoencoderKL:
    """The VAE to ship, if its encoder is the one that the UNet's latents came from."""
    header = read_header(next((run / "latents").glob("*.safetensors")))
    vae = AutoencoderKL.from_pretrained(folder, torch_dtype=torch.float16, use_safetensors=True)
    if encoder_hash(vae) != header["encoder"]:
        raise SystemExit(f"{folder} must have the encoder that made {run / 'latents'}")
    vae.register_to_config(scaling_factor=float(header["scaling_factor"]))
    return vae


def write_json(path: Path, config: dict[str, object]) -> None:
    """Indented, in the order of its keys."""
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tidy_configs(folder: Path) -> None:
    """Remove what names the machine that trained."""
    for path in folder.rglob("*config.json"):
        config = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in config.items() if key not in OF_THE_MACHINE})


def open_to_all(folder: Path) -> None:
    """Give files mode 0644: safetensors writes 0600, which another user of an installation could
    not read."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def write_parts(run: Path, vae: Path, folder: Path, largest: float) -> None:
    """The weights, with the UNet's averaged ones, and what goes with them.

    All are float16 in their files. diffusers loads its own in float32 unless told otherwise, and
    transformers in the type that the config names: the text encoder's says float32, so that
    ``StableDiffusionPipeline.from_pretrained(folder)`` gets one type.

    The scheduler's settings are written without the defaults of one class: a default that is
    written down counts as chosen, and would follow the user into every other class.
    """
    unet = UNet2DConditionModel.from_pretrained(run / "unet", torch_dtype=torch.float16)
    text_encoder = CLIPTextModel.from_pretrained(run / "text_encoder", dtype=torch.float16)
    for part, module in {"unet": unet, "vae": the_vae(run, vae)}.items():
        check_size(part, module, largest)
        module.save_pretrained(folder / part)
    text_encoder.save_pretrained(folder / "text_encoder")
    config = folder / "text_encoder/config.json"
    write_json(config, json.loads(config.read_text(encoding="utf-8")) | {"dtype": "float32"})
    shutil.copytree(run / "tokenizer", folder / "tokenizer")
    (folder / "scheduler").mkdir()
    write_json(folder / "scheduler/scheduler_config.json", SCHEDULER)


def export(
    run: Path,
    out: Path,
    data: Data,
    *,
    vae: Path | None = None,
    largest: float = LARGEST,
    guidance_scale: float = GUIDANCE,
) -> None:
    """Replace the parts in ``out``; a model card that lies there stays."""
    fresh = out.with_name(f"{out.name}.new")
    shutil.rmtree(fresh, ignore_errors=True)
    write_parts(run, vae if vae is not None else run / "vae", fresh, largest)
    tidy_configs(fresh)
    own = {
        "guidance_scale": guidance_scale,
        "upscale_strength": UPSCALE_STRENGTH,
        "vocabulary": data.vocabulary(),
        "prompts": data.prompts(),
    }
    write_json(fresh / "model_index.json", INDEX | {"_sdloop": own})
    open_to_all(fresh)
    put(fresh, out)


def put(fresh: Path, out: Path) -> None:
    """Move what was written to where it belongs, part by part: ``out`` may hold other things."""
    out.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
        (fresh / part).rename(out / part)
    (fresh / "model_index.json").replace(out / "model_index.json")
    fresh.rmdir()


def main() -> None:
    """Parse, export, and print the folder's size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--run", type=Path, required=True, help="the folder of the whole run")
    add("--out", type=Path, required=True, help="the folder to write")
    add("--vae", type=Path, help="the VAE to ship, of the run's encoder [the run's own]")
    add("--data", type=Path, help="the run's pictures, if they were your own")
    add("--held-out", type=int, help="as in training")
    add("--largest", type=float, default=LARGEST, help="MiB a weight file may have [%(default)s]")
    add("--guidance-scale", type=float, default=GUIDANCE, help="that suits it [%(default)s]")
    args = parser.parse_args()
    try:
        data = open_data(args.data, args.held_out)
    except DataError as error:
        parser.error(str(error))
    export(
        args.run, args.out, data, vae=args.vae, largest=args.largest,
        guidance_scale=args.guidance_scale,
    )  # fmt: skip
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
