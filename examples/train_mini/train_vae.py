"""Train the VAE of the embedded model: pictures to latents a quarter their width and height, and back.

    python examples/train_mini/train_vae.py --out runs/mini/vae --pictures 36000
    python examples/train_mini/train_vae.py --out runs/mini/decoder --start runs/mini/vae/vae \
        --freeze-encoder --pictures 120000

The second command goes on with the decoder alone. It leaves the latents as they are, so it may run while the UNet
trains on them. Run a command again to resume it.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from diffusers import AutoencoderKL
from drawing import draw_scene
from scenes import sample_scene
from torch import Tensor, nn
from training import (
    HELD_OUT,
    Log,
    batch_seeds,
    cosine_rate,
    load_checkpoint,
    save_checkpoint,
    set_rate,
    step_generator,
)

KL_WEIGHT = 2e-4
"""Of the mean KL per latent number: enough to keep the latents near unit size, too little to blur."""


def make_vae(size: int, channels: tuple[int, ...]) -> AutoencoderKL:
    """An untrained VAE; three levels make the factor 4, and four latent channels are what Stable Diffusion has."""
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=size,
    )


def draw_pictures(seeds: range, size: int) -> Tensor:
    """The scenes of these seeds as float32 (batch, 3, size, size) in -1..1."""
    pictures = np.stack([np.asarray(draw_scene(sample_scene(seed), size)) for seed in seeds])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def edges(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """Differences of neighbouring pixels, across and down."""
    return pictures.diff(dim=3), pictures.diff(dim=2)


class Reconstruction(nn.Module):
    """The VAE and its losses in one forward, which is what accelerate wraps for several devices."""

    def __init__(self, vae: AutoencoderKL, *, freeze_encoder: bool) -> None:
        super().__init__()
        self.vae = vae
        vae.encoder.requires_grad_(not freeze_encoder)
        vae.quant_conv.requires_grad_(not freeze_encoder)

    def forward(self, pictures: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Losses of a batch: L1 and squares for colour, L1 of the edges for sharpness, KL for the latents."""
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
    """Mean PSNR in dB of ``count`` scenes never trained on, through the posterior's mean, in float32."""
    device = next(vae.parameters()).device
    pictures = draw_pictures(range(HELD_OUT, HELD_OUT + count), size).to(device)
    made = vae.decode(vae.encode(pictures).latent_dist.mean).sample.clamp(-1, 1)
    errors = (made - pictures).div(2).square().mean(dim=(1, 2, 3))
    return (-10 * errors.log10()).mean().item()


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, beginning at the run's last checkpoint."""
    accelerator = Accelerator(mixed_precision=args.precision)
    torch.manual_seed(args.seed)
    vae = AutoencoderKL.from_pretrained(args.start) if args.start else make_vae(args.size, args.channels)
    model = Reconstruction(vae, freeze_encoder=args.freeze_encoder)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=args.rate, betas=(0.9, 0.99), weight_decay=1e-4)
    first = 0
    if state := load_checkpoint(args.out):
        vae.load_state_dict(state["vae"])
        optimizer.load_state_dict(state["optimizer"])
        first = state["step"]
    model, optimizer = accelerator.prepare(model, optimizer)
    per_step = args.batch * accelerator.num_processes
    steps, log = args.pictures // per_step, Log()
    for step in range(first, steps):
        set_rate(optimizer, cosine_rate(step, steps, args.rate))
        pictures = draw_pictures(batch_seeds(step, args.batch, accelerator), args.size)
        shape = (args.batch, 4, args.size // 4, args.size // 4)
        noise = torch.randn(shape, generator=step_generator(step, accelerator))
        losses = model(pictures.to(accelerator.device), noise.to(accelerator.device))
        accelerator.backward(losses["loss"])
        accelerator.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        log.add(losses)
        done = step + 1
        if accelerator.is_main_process and (done % args.every == 0 or done == steps):
            log.report(done, per_step, psnr=measure_psnr(vae, args.size))
            vae.save_pretrained(args.out / "vae")
            state = {"vae": vae.state_dict(), "optimizer": optimizer.state_dict(), "step": done}
            save_checkpoint(args.out, state)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for checkpoint.pt and vae/")
    parser.add_argument("--pictures", type=int, required=True, help="pictures to see in all; sets the cosine's length")
    parser.add_argument("--size", type=int, default=64, help="side of the pictures in pixels")
    parser.add_argument("--channels", type=int, nargs=3, default=(24, 48, 96), help="channels of the three levels")
    parser.add_argument("--start", type=Path, help="begin with the weights of this VAE folder")
    parser.add_argument("--freeze-encoder", action="store_true", help="train the decoder alone")
    parser.add_argument("--batch", type=int, default=8, help="pictures per step and device")
    parser.add_argument("--rate", type=float, default=1.5e-3, help="highest learning rate")
    parser.add_argument("--every", type=int, default=500, help="steps between checkpoints")
    parser.add_argument("--precision", choices=("no", "bf16"), default="bf16")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
