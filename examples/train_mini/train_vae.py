"""Train the VAE of the embedded model: pictures to latents of an eighth of their side, and back.

    python examples/train_mini/train_vae.py --out runs/mini
    python examples/train_mini/train_vae.py --out runs/decoder --start runs/mini/vae \
        --freeze-encoder --sharpen examples/train_mini/judge --guesses-of runs/mini/model

The second command goes on with the decoder alone. It leaves the latents as they are, so it may run
while the UNet trains on them. Run a command again to resume it.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from byte_pairs import tokenize
from dataset import Data, Size, held_out_places
from diffusers import AutoencoderKL
from enlarge import Likeness, copy_inner_levels
from files import replace_folder
from flags import add_flags, parse_flags, start
from guessing import Guesses
from judge import load_judge
from loading import Share, Tensors
from log import Losses
from measures import slopes
from models import LATENT_CHANNELS, factor_of, make_vae
from sharpening import Sharpening
from torch import Tensor, nn
from training import Trainer
from transformers import CLIPTokenizer

KL_WEIGHT = 2e-4
"""Of the mean KL per latent number: enough to keep the latents near unit size, too little to
blur."""

SQUARE_WEIGHT = 8
"""Of the squared errors, which are small numbers: a missing eye is a large error in a few pixels,
and beside plain differences nothing else asks for it."""

LEAST_PULL = 0.03
"""Of the latents towards those of the VAE that ``--like`` names, at the end of the run."""

CHANNELS = {4: (24, 48, 96), 8: (16, 32, 64, 96)}
"""Of the levels, by factor."""


def stack_pictures(data: Data, places: range, size: Size) -> Tensor:
    """The pictures at these places as uint8 (batch, height, width, 3): a quarter of what floats
    would take from worker to device."""
    return torch.from_numpy(np.stack([data.picture(place, size) for place in places]))


def to_floats(pictures: Tensor) -> Tensor:
    """Bytes as the VAE wants them: float32 (batch, 3, height, width) in -1..1."""
    return pictures.permute(0, 3, 1, 2).float().div(127.5).sub(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class PictureBatches:
    """The pictures of a step, and with a tokenizer their captions' tokens, for a worker to
    make."""

    data: Data
    share: Share
    size: Size
    tokenizer: CLIPTokenizer | None = None

    def __call__(self, step: int) -> Tensors:
        places = self.share.places(step)
        pictures = stack_pictures(self.data, places, self.size)
        if self.tokenizer is None:
            return (pictures,)
        return pictures, tokenize(self.tokenizer, [self.data.caption(one, 0) for one in places])


def differences(made: Tensor, pictures: Tensor) -> Losses:
    """L1, squares, and L1 of the edges."""
    (across, down), (made_across, made_down) = slopes(pictures), slopes(made)
    return {
        "l1": F.l1_loss(made, pictures),
        "mse": F.mse_loss(made, pictures),
        "edge": F.l1_loss(made_across, across) + F.l1_loss(made_down, down),
    }


class Reconstruction(nn.Module):
    """The VAE and its losses in one forward, which is what accelerate wraps for several
    devices."""

    def __init__(
        self, vae: AutoencoderKL, *, freeze_encoder: bool, likeness: Likeness | None = None,
        sharpening: Sharpening | None = None, guesses: Guesses | None = None,
    ) -> None:  # fmt: skip
        super().__init__()
        self.vae, self.likeness, self.sharpening = vae, likeness, sharpening
        self.guesses = guesses
        vae.encoder.requires_grad_(not freeze_encoder)
        vae.quant_conv.requires_grad_(not freeze_encoder)

    def forward(
        self, pictures: Tensor, noise: Tensor, pull: Tensor | None = None, *guess: Tensor
    ) -> Losses:
        """Losses of a batch: L1 and squares for colour, L1 of the edges for sharpness, KL for the
        latents, and ``pull`` times their distance from those of another VAE. The first half of a
        batch is guessed, if there are guesses, which take ``guess`` after the latents."""
        posterior = self.vae.encode(pictures).latent_dist
        latents = posterior.mean + posterior.std * noise
        half = 0 if self.guesses is None else len(latents) // 2
        if self.guesses is not None:
            guessed = self.guesses(*(one[:half] for one in (latents, *guess)))
            latents = torch.cat([guessed, latents[half:]])
        made = self.vae.decode(latents).sample.float()
        # Plain errors of a guess would ask for its blur: it is the sharpening's alone.
        losses = differences(made[half:], pictures[half:])
        kl = posterior.kl().float().mean() / noise[0].numel()
        loss = losses["l1"] + SQUARE_WEIGHT * losses["mse"] + losses["edge"] + KL_WEIGHT * kl
        if self.likeness is not None and pull is not None:
            losses["unlike"] = self.likeness(pictures, posterior.mean)
            loss = loss + pull * losses["unlike"]
        if self.sharpening is not None:
            last = self.vae.decoder.conv_out.weight
            loss, wishes = self.sharpening(pictures, made, loss, last)
            losses |= wishes
        return {"loss": loss, **losses, "kl": kl}


@torch.no_grad()
def measure_psnr(vae: AutoencoderKL, data: Data, size: Size, count: int = 64) -> float:
    """Mean PSNR in dB of pictures never trained on, through the posterior's mean, in float32."""
    pictures = to_floats(stack_pictures(data, held_out_places(data, count), size)).to(vae.device)
    errors = []
    for some in pictures.split(16):
        made = vae.decode(vae.encode(some).latent_dist.mean).sample.clamp(-1, 1)
        errors.append((made - some).div(2).square().mean(dim=(1, 2, 3)))
    return (-10 * torch.cat(errors).log10()).mean().item()


def first_vae(args: argparse.Namespace) -> AutoencoderKL:
    """The weights to begin with: those of ``--start``, or random ones of ``--seed``."""
    if args.start:
        return load_vae(args.start)
    vae = make_vae(args.size, tuple(args.channels))
    if args.like:
        copied = copy_inner_levels(vae, load_vae(args.like))
        print(f"{copied} tensors copied from {args.like}")
    return vae


def load_vae(folder: Path) -> AutoencoderKL:
    """The VAE of a folder, in float32."""
    return AutoencoderKL.from_pretrained(folder, use_safetensors=True, torch_dtype=torch.float32)


def pull_at(step: int, steps: int) -> float:
    """The weight of the latents' likeness: strong until the new level has found its place, then
    ever weaker, down to ``LEAST_PULL``.

    >>> [pull_at(step, 2000) for step in (0, 1000, 2000)]
    [1.0, 0.1, 0.03]
    """
    if step < 1000:
        return 10 ** -(step / 1000)
    return LEAST_PULL + (0.1 - LEAST_PULL) * (1 - (step - 1000) / max(1, steps - 1000))


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, beginning at the run's last checkpoint."""
    accelerator, data, vae = start(args, batch=16), args.data, first_vae(args)
    size = vae.config.sample_size, vae.config.sample_size
    likeness = Likeness(load_vae(args.like)) if args.like else None
    sharpening = Sharpening(load_judge(args.sharpen)) if args.sharpen else None
    guesses, tokenizer = None, None
    if args.guesses_of:
        guesses = Guesses(args.guesses_of, vae.config.scaling_factor)
        tokenizer = CLIPTokenizer.from_pretrained(args.guesses_of / "tokenizer")
    model = Reconstruction(
        vae, freeze_encoder=args.freeze_encoder, likeness=likeness, sharpening=sharpening,
        guesses=guesses,
    )  # fmt: skip
    trainer = Trainer(args, accelerator, "vae", model)
    shape = args.batch, LATENT_CHANNELS, *(side // factor_of(vae) for side in reversed(size))

    def feed(step: int, batch: Tensors, generator: torch.Generator) -> Tensors:
        noise = torch.randn(shape, generator=generator, device=generator.device)
        pull = torch.tensor(pull_at(step, trainer.steps), device=generator.device)
        pictures, *ids = batch
        if not ids:
            return to_floats(pictures), noise, pull
        more = torch.randn(shape, generator=generator, device=generator.device)
        places = torch.rand(args.batch, generator=generator, device=generator.device)
        return to_floats(pictures), noise, pull, *ids, more, places

    batches = PictureBatches(data=data, share=trainer.share, size=size, tokenizer=tokenizer)
    for step in trainer.run(batches, feed):
        if trainer.due(args.report):
            trainer.log.report(step, psnr=measure_psnr(vae, data, size))
        if trainer.due(args.every):
            replace_folder(args.out / "vae", vae.save_pretrained)


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="pictures", seen=1_500_000, rate=1.5e-3, every=500)
    add = parser.add_argument
    add("--size", type=int, help="side of the pictures in pixels [128]")
    add("--factor", type=int, help="pixels per latent along a side [8]")
    add("--channels", type=int, nargs="+", help="of the levels [16 32 64 96 for a factor of 8]")
    add("--start", type=Path, help="begin with this VAE folder")
    add("--like", type=Path, help="VAE of half the side whose inner levels and latents to take")
    add("--freeze-encoder", action="store_true", help="train the decoder alone")
    add("--sharpen", type=Path, help="with a critic of patches and the eyes of this judge")
    add("--guesses-of", type=Path, help="decode half as the UNet of this exported model guesses")
    args = parse_flags(parser, argv)
    try:
        settle_shape(args)
    except ValueError as error:
        parser.error(str(error))
    return args


def settle_shape(args: argparse.Namespace) -> None:
    """Fill in what ``--size``, ``--factor`` and ``--channels`` leave open, and see that they
    agree."""
    given = [name for name in ("size", "factor", "channels") if getattr(args, name) is not None]
    if args.start and given:
        raise ValueError(f"--{given[0]} must be left to the VAE that --start names")
    if args.freeze_encoder and not args.start:
        raise ValueError("--freeze-encoder must have an encoder to keep: name one by --start")
    if args.guesses_of and not (args.freeze_encoder and args.sharpen):
        raise ValueError("--guesses-of must have --freeze-encoder and --sharpen")
    args.size, args.factor = args.size or 128, args.factor or 8
    levels = args.factor.bit_length()
    if args.factor != 2 ** (levels - 1):
        raise ValueError(f"--factor must be a power of two, got {args.factor}")
    if args.size % (2 * args.factor):
        raise ValueError(f"--size must be a multiple of twice the factor, got {args.size}")
    if args.like and not args.start:
        check_like(args.like, args.size)
    args.channels = args.channels or CHANNELS.get(args.factor, ())
    if len(args.channels) != levels:
        raise ValueError(
            f"--channels must be {levels} for a factor of {args.factor}, got {args.channels}"
        )


def check_like(folder: Path, size: int) -> None:
    """See that a VAE is of half the side, which its latents then share."""
    config = AutoencoderKL.load_config(folder)
    if config["sample_size"] * 2 != size:
        raise ValueError(
            f"--like must name a VAE of half the --size, got {config['sample_size']} for {size}"
        )


if __name__ == "__main__":
    train(parse())
