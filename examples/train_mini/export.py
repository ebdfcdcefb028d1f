"""Put the trained parts together as a folder that diffusers' own ``StableDiffusionPipeline``
loads.

    python examples/train_mini/export.py --run runs/mini --vae runs/mini/decoder/vae --out
    sdloop/mini

Weights become float16 safetensors; the VAE's ``scaling_factor`` is the one measured on the cached
latents.
"""

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from models import make_noise_schedule
from safetensors import safe_open
from transformers import CLIPTextModel, CLIPTokenizer

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

GUIDANCE = 2.0
"""What sdloop takes where nobody names a scale: above it colours drift, and small parts melt."""

OF_THE_MACHINE = ("_name_or_path", "is_local", "local_files_only")
PARTS = ("scheduler", "text_encoder", "tokenizer", "unet", "vae")


def assemble(run: Path, vae_folder: Path) -> StableDiffusionPipeline:
    """The pipeline of a run's averaged weights.

    The text encoder stays float32. transformers loads weights in the type of their file and
    diffusers loads its own in float32, so a float16 file would give
    ``StableDiffusionPipeline.from_pretrained(folder)`` two types that do not mix.
    """
    vae = AutoencoderKL.from_pretrained(vae_folder, torch_dtype=torch.float16)
    with safe_open(run / "latents.safetensors", "pt") as file:
        vae.register_to_config(scaling_factor=float(file.metadata()["scaling_factor"]))
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=CLIPTextModel.from_pretrained(run / "text", dtype=torch.float32),
        tokenizer=CLIPTokenizer.from_pretrained(run / "tokenizer"),
        unet=UNet2DConditionModel.from_pretrained(run / "unet/unet", torch_dtype=torch.float16),
        scheduler=EulerDiscreteScheduler.from_config(make_noise_schedule().config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def write_json(path: Path, config: dict[str, object]) -> None:
    """Indented, in the order of its keys."""
    path.write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def tidy_configs(folder: Path) -> None:
    """Remove what names the machine that trained, and write the scheduler's settings and no
    defaults of one class.

    A default that is written down counts as chosen, and would follow the user into every other
    scheduler class.
    """
    for path in [*folder.glob("*.json"), *folder.glob("*/*config.json")]:
        config = json.loads(path.read_text(encoding="utf-8"))
        write_json(path, {key: value for key, value in config.items() if key not in OF_THE_MACHINE})
    write_json(folder / "scheduler/scheduler_config.json", SCHEDULER)
    index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
    write_json(folder / "model_index.json", index | {"_sdloop": {"guidance_scale": GUIDANCE}})


def open_to_all(folder: Path) -> None:
    """Give files mode 0644: safetensors writes 0600, which another user of an installation could
    not read."""
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)


def export(run: Path, vae_folder: Path, out: Path) -> None:
    """Replace the parts in ``out``; a model card that lies there stays."""
    pipeline = assemble(run, vae_folder)
    for part in PARTS:
        shutil.rmtree(out / part, ignore_errors=True)
    pipeline.save_pretrained(out, safe_serialization=True)
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(run / "tokenizer" / name, out / "tokenizer" / name)
    tidy_configs(out)
    open_to_all(out)


def main() -> None:
    """Parse, export, and print the folder's size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", type=Path, required=True, help="the folder of the whole run")
    parser.add_argument("--vae", type=Path, required=True, help="the VAE folder to ship")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")
    args = parser.parse_args()
    export(args.run, args.vae, args.out)
    size = sum(path.stat().st_size for path in args.out.rglob("*") if path.is_file())
    print(f"{size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
