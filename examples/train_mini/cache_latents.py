"""Encode the scenes of the first seeds once, so that the UNet's training never runs the VAE.

    python examples/train_mini/cache_latents.py --vae runs/mini/vae/vae --out
    runs/mini/latents.safetensors

The file holds the posteriors' means in float16 and, in its header, the number that scales them to
unit size. Captions are not in it: they are told anew each time a scene comes around.
"""

import argparse
from pathlib import Path

import torch
from accelerate import Accelerator
from diffusers import AutoencoderKL
from safetensors.torch import save_file
from torch import Tensor
from train_vae import draw_pictures
from training import HELD_OUT


@torch.no_grad()
def encode_scenes(vae: AutoencoderKL, seeds: range, batch: int) -> Tensor:
    """Posterior means of the scenes of these seeds, float16 on the CPU (scenes, channels, height,
    width)."""
    rows = []
    for start in range(0, len(seeds), batch):
        pictures = draw_pictures(seeds[start : start + batch], vae.config.sample_size)
        posterior = vae.encode(pictures.to(vae.device)).latent_dist
        rows.append(posterior.mean.half().cpu())
    return torch.cat(rows).contiguous()


def main() -> None:
    """Parse, encode the training scenes and 256 held-out ones, save, and say what the latents look
    like."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vae", type=Path, required=True, help="the trained VAE's folder")
    parser.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    parser.add_argument("--scenes", type=int, default=40_000, help="scenes to encode")
    parser.add_argument("--batch", type=int, default=32)
    args = parser.parse_args()
    vae = AutoencoderKL.from_pretrained(args.vae).to(Accelerator().device)
    latents = encode_scenes(vae, range(args.scenes), args.batch)
    held_out = encode_scenes(vae, range(HELD_OUT, HELD_OUT + 256), args.batch)
    scaling_factor = 1 / latents.float().std().item()
    header = {"scaling_factor": repr(scaling_factor)}
    save_file({"latents": latents, "held_out": held_out}, args.out, metadata=header)
    channels = latents.float().transpose(0, 1).flatten(1)
    print(f"scaling_factor {scaling_factor:.5f}")
    print(f"channel means {channels.mean(1).tolist()} std {channels.std(1).tolist()}")


if __name__ == "__main__":
    main()
