"""Train the UNet of the embedded model on cached latents, with a text encoder that can read.

    python examples/train_mini/train_unet.py --latents runs/mini/latents.safetensors \
        --tokenizer runs/mini/tokenizer --text-encoder runs/mini/text \
        --out runs/mini/unet --pictures 120000

Run the command again to resume it. ``unet/`` in the run's folder has the averaged weights. The text
encoder stays as it is: trained along with the UNet from nothing, it ended twice saying the same for
every prompt, because the UNet sees a few words among seventy positions of padding.
"""

import argparse
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from captions import caption_of
from diffusers import UNet2DConditionModel
from models import make_noise_schedule, make_unet
from safetensors import safe_open
from scenes import sample_scene
from torch import Tensor, nn
from training import HELD_OUT, Log, Losses, Trainer, add_flags
from transformers import CLIPTextModel, CLIPTokenizer

EMPTY_CAPTIONS = 0.1
"""The share trained on the empty caption, which guidance needs as its starting point."""


class Denoising(nn.Module):
    """UNet, text encoder and the loss of a batch in one forward, which is what accelerate
    wraps."""

    def __init__(self, unet: UNet2DConditionModel, text_encoder: CLIPTextModel) -> None:
        super().__init__()
        self.unet, self.text_encoder = unet, text_encoder
        self.schedule = make_noise_schedule()

    def forward(
        self, latents: Tensor, noise: Tensor, timesteps: Tensor, input_ids: Tensor
    ) -> Losses:
        """The squared error of v, every timestep counting the same.

        Min-SNR weighting (arXiv:2303.09556) was tried and given up: it multiplies the loss of the
        noisiest third of the steps by less than 0.01, and that is where a picture this small
        chooses its subject and colour. Backdrops came, subjects did not.
        """
        noisy = self.schedule.add_noise(latents, noise, timesteps)
        target = self.schedule.get_velocity(latents, noise, timesteps)
        prompt_embeds = self.text_encoder(input_ids).last_hidden_state
        predicted = self.unet(noisy, timesteps, prompt_embeds).sample.float()
        return {"loss": F.mse_loss(predicted, target)}


class Cache:
    """The cached latents, scaled to unit size, with captions told on the spot."""

    def __init__(self, path: Path, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        with safe_open(path, "pt") as file:
            scaling_factor = float(file.metadata()["scaling_factor"])
            self.latents = file.get_tensor("latents").float() * scaling_factor
            self.held_out = file.get_tensor("held_out").float() * scaling_factor

    def tokens(self, captions: list[str]) -> Tensor:
        """Token numbers (batch, 77), padded as the pipelines pad."""
        return self.tokenizer(
            captions, padding="max_length", truncation=True, return_tensors="pt"
        ).input_ids

    def batch(self, places: range) -> tuple[Tensor, Tensor]:
        """Latents and tokens of these places in the endless walk over the cache."""
        captions = []
        for place in places:
            telling, seed = divmod(place, len(self.latents))
            empty = random.Random(f"empty {place}").random() < EMPTY_CAPTIONS
            captions.append("" if empty else caption_of(seed, sample_scene(seed), telling))
        rows = torch.tensor([place % len(self.latents) for place in places])
        return self.latents[rows], self.tokens(captions)

    def held_out_batch(self) -> tuple[Tensor, Tensor]:
        """All the latents never trained on, with one caption each."""
        seeds = range(HELD_OUT, HELD_OUT + len(self.held_out))
        return self.held_out, self.tokens(
            [caption_of(seed, sample_scene(seed), 0) for seed in seeds]
        )


def draw_noise(latents: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Gaussian noise like the latents and a timestep for each, oftener from the noisy end.

    The share of timesteps below t is 1 - sqrt(1 - t / 1000): the noisy half, where the text is
    needed, gets seven of ten.
    """
    noise = torch.randn(latents.shape, generator=generator)
    timesteps = 1000 * (1 - torch.rand(len(latents), generator=generator).square())
    return noise, timesteps.long().clamp(max=999)


@torch.no_grad()
def measure_loss(model: Denoising, cache: Cache) -> float:
    """The loss on scenes never trained on, always with the same noise and timesteps."""
    latents, tokens = cache.held_out_batch()
    noise, timesteps = draw_noise(latents, torch.Generator().manual_seed(0))
    batch = (tensor.to(model.unet.device) for tensor in (latents, noise, timesteps, tokens))
    return model(*batch)["loss"].item()


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the averaged weights a little towards the trained ones."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)


def make_model(args: argparse.Namespace, cache: Cache) -> Denoising:
    """An untrained model whose first weights are a function of ``--seed``."""
    torch.manual_seed(args.seed)
    unet = make_unet(cache.latents.shape[-1], tuple(args.channels))
    text_encoder = CLIPTextModel.from_pretrained(args.text_encoder, dtype=torch.float32)
    return Denoising(unet, text_encoder.requires_grad_(False))


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` latents have been seen, beginning at the run's last
    checkpoint."""
    cache = Cache(args.latents, CLIPTokenizer.from_pretrained(args.tokenizer))
    model, average = make_model(args, cache), make_model(args, cache)
    trainer = Trainer(args, {"model": model, "average": average})

    def make_batch(places: range, generator: torch.Generator) -> tuple[Tensor, ...]:
        latents, tokens = cache.batch(places)
        return latents, *draw_noise(latents, generator), tokens

    log = Log(trainer)
    for losses in trainer.run(make_batch):
        log.add(losses)
        follow(average, model, min(args.ema, trainer.done / (trainer.done + 10)))
        if trainer.due():
            log.report(held_out=measure_loss(average, cache))
            average.unet.save_pretrained(args.out / "unet")
            trainer.save()


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, batch=16, rate=1e-3)
    parser.add_argument("--latents", type=Path, required=True, help="what cache_latents.py wrote")
    parser.add_argument("--tokenizer", type=Path, required=True, help="the tokenizer's folder")
    parser.add_argument(
        "--channels", type=int, nargs=3, default=(64, 96, 128), help="of the three levels"
    )
    parser.add_argument("--text-encoder", type=Path, required=True, help="what train_text.py wrote")
    parser.add_argument("--ema", type=float, default=0.998, help="decay of the averaged weights")
    return parser.parse_args(argv)


if __name__ == "__main__":
    train(parse())
