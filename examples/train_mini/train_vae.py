"""Train the VAE of the embedded model: pictures to latents of an eighth of their side, and back.

    python examples/train_mini/train_vae.py --out runs/mini
    python examples/train_mini/train_vae.py --out runs/decoder --start runs/mini/vae \
        --freeze-encoder

The second command goes on with the decoder alone. It leaves the latents as they are, so it may run
while the UNet trains on them. Run a command again to resume it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from dataset import Data, Scenes, Size, held_out_places
from diffusers import AutoencoderKL
from loading import Share, Tensors
from log import Losses
from models import LATENT_CHANNELS, factor_of, make_vae
from torch import Tensor, nn
from training import Trainer, add_flags, start

KL_WEIGHT = 2e-4
"""Of the mean KL per latent number: enough to keep the latents near unit size, too little to
blur."""


def stack_pictures(data: Data, places: range, size: Size) -> Tensor:
    """The pictures at these places as uint8 (batch, height, width, 3): a quarter of what floats
    would take from worker to device."""
    return torch.from_numpy(np.stack([data.picture(place, size) for place in places]))


def to_floats(pictures: Tensor) -> Tensor:
    """Bytes as the VAE wants them: float32 (batch, 3, height, width) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float().div(127.5).sub(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureBatches:
    """The pictures of a step, for a worker to make."""

    data: Data
    share: Share
    size: Size

    def __call__(self, step: int) -> Tensors:
        return (stack_pictures(self.data, self.share.places(step), self.size),)


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, across and down."""
    return pictures.diff(dim=3), pictures.diff(dim=2)


class Reconstruction(nn.Module):
    """The VAE and its losses in one forward, which is what accelerate wraps for several
    devices."""

    def __init__(self, vae: AutoencoderKL, *, freeze_encoder: bool) -> None:
        super().__init__()
        self.vae = vae
        vae.encoder.requires_grad_(not freeze_encoder)
        vae.quant_conv.requires_grad_(not freeze_encoder)

    def forward(self, pictures: Tensor, noise: Tensor) -> Losses:
        """Losses of a batch: L1 and squares for colour, L1 of the edges for sharpness, KL for the
        latents."""
        posterior = self.vae.encode(pictures).latent_dist
        made = self.vae.decode(posterior.mean + posterior.std * noise).sample.float()
        (across, down), (made_across, made_down) = edges(pictures), edges(made)
        losses = {
            "l1": F.l1_loss(made, pictures),
            "mse": F.mse_loss(made, pictures),
            "edge": F.l1_loss(made_across, across) + F.l1_loss(made_down, down),
        }
        kl = posterior.kl().float().mean() / noise[0].numel()
        return {"loss": sum(losses.values()) + KL_WEIGHT * kl, **losses, "kl": kl}


@torch.no_grad()
def measure_psnr(vae: AutoencoderKL, data: Data, size: Size, count: int = 64) -> float:
    """Mean PSNR in dB of pictures never trained on, through the posterior's mean, in float32."""
    pictures = to_floats(stack_pictures(data, held_out_places(data, count), size)).to(vae.device)
    errors = []
    for some in pictures.split(16):
        made = vae.decode(vae.encode(some).latent_dist.mean).sample.clamp(-1, 1)
        errors.append((made - some).div(2).square().mean(dim=(1, 2, 3)))
    return (-10 * torch.cat(errors).log10()).mean().item()


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, beginning at the run's last checkpoint."""
    accelerator, data, size = start(args), Scenes(), (args.size, args.size)
    channels = tuple(args.channels)
    vae = AutoencoderKL.from_pretrained(args.start) if args.start else make_vae(args.size, channels)
    model = Reconstruction(vae, freeze_encoder=args.freeze_encoder)
    trainer = Trainer(args, accelerator, "vae", model)
    shape = args.batch, LATENT_CHANNELS, *(side // factor_of(vae) for side in reversed(size))

    def feed(batch: Tensors, generator: torch.Generator) -> Tensors:
        noise = torch.randn(shape, generator=generator, device=generator.device)
        return to_floats(*batch), noise

    for step in trainer.run(PictureBatches(data=data, share=trainer.share, size=size), feed):
        if trainer.due(args.report):
            trainer.log.report(step, psnr=measure_psnr(vae, data, size))
        if trainer.due(args.every):
            vae.save_pretrained(args.out / "vae")
            trainer.save()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="pictures", seen=1_500_000, rate=1.5e-3, every=500)
    parser.add_argument("--size", type=int, default=128, help="side of the pictures in pixels")
    parser.add_argument(
        "--channels", type=int, nargs="+", default=(16, 32, 64, 96), help="of the levels"
    )
    parser.add_argument("--start", type=Path, help="begin with the weights of this VAE folder")
    parser.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
