"""Train the VAE of the embedded model: pictures to latents of a quarter their side, and back.

    python examples/train_mini/train_vae.py --out runs/mini/vae --pictures 24000
    python examples/train_mini/train_vae.py --out runs/mini/decoder --start runs/mini/vae/vae \
        --freeze-encoder --pictures 37000

The second command goes on with the decoder alone. It leaves the latents as they are, so it may run
while the UNet trains on them. Run a command again to resume it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from drawing import draw_scene
from models import FACTOR, LATENT_CHANNELS, make_vae
from scenes import sample_scene
from torch import Tensor, nn
from training import HELD_OUT, Log, Losses, Trainer, add_flags

KL_WEIGHT = 2e-4
"""Of the mean KL per latent number: enough to keep the latents near unit size, too little to
blur."""


def draw_pictures(seeds: range, size: int) -> Tensor:
    """The scenes of these seeds as float32 (batch, 3, size, size) in -1..1."""
    pictures = np.stack([np.asarray(draw_scene(sample_scene(seed), size)) for seed in seeds])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


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
def measure_psnr(vae: AutoencoderKL, size: int, count: int = 64) -> float:
    """Mean PSNR in dB of ``count`` scenes never trained on, through the posterior's mean, in
    float32."""
    device = next(vae.parameters()).device
    pictures = draw_pictures(range(HELD_OUT, HELD_OUT + count), size).to(device)
    made = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    errors = (made - pictures).div(2).square().mean(dim=(1, 2, 3))
    return (-10 * errors.log10()).mean().item()


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, beginning at the run's last checkpoint."""
    torch.manual_seed(args.seed)
    vae = (
        AutoencoderKL.from_pretrained(args.start)
        if args.start
        else make_vae(args.size, tuple(args.channels))
    )
    trainer = Trainer(args, {"model": Reconstruction(vae, freeze_encoder=args.freeze_encoder)})
    side = args.size // FACTOR

    def make_batch(seeds: range, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        noise = torch.randn(len(seeds), LATENT_CHANNELS, side, side, generator=generator)
        return draw_pictures(seeds, args.size), noise

    log = Log(trainer)
    for losses in trainer.run(make_batch):
        log.add(losses)
        if trainer.due():
            log.report(psnr=measure_psnr(vae, args.size))
            vae.save_pretrained(args.out / "vae")
            trainer.save()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, batch=8, rate=1.5e-3)
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument(
        "--channels", type=int, nargs=3, default=(24, 48, 96), help="of the three levels"
    )
    parser.add_argument("--start", type=Path, help="begin with the weights of this VAE folder")
    parser.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
