"""Create a model of SD1.5's shape with random weights, in diffusers' layout. It only makes noise.

    python tests/benchmarks/random_sd15.py /tmp/sd15
    sdloop bench loop -m /tmp/sd15 --calls 2 --steps 1

Its pictures are 256x256, so that a step takes seconds on a CPU.
"""

import sys
from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

import sdloop

LAYOUTS = Path(sdloop.__file__).parent / "layouts"


def create(folder: Path) -> None:
    """Write the model; its weights are the same in each run."""
    torch.manual_seed(0)
    own = LAYOUTS / "sd15"
    unet = UNet2DConditionModel.load_config(own / "unet")
    StableDiffusionPipeline(
        tokenizer=CLIPTokenizer.from_pretrained(LAYOUTS / "clip_tokenizer"),
        text_encoder=CLIPTextModel(CLIPTextConfig.from_pretrained(own / "text_encoder")),
        unet=UNet2DConditionModel.from_config({**unet, "sample_size": 32}),
        vae=AutoencoderKL.from_config(AutoencoderKL.load_config(own / "vae")),
        scheduler=EulerDiscreteScheduler.from_config(
            EulerDiscreteScheduler.load_config(own / "scheduler")
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)


if __name__ == "__main__":
    create(Path(sys.argv[1]))
