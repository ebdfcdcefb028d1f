"""Train a small ControlNet for the embedded model, which follows the outlines of a sketch.

    python examples/train_mini/train_control.py --out runs/edges --init sdloop/mini

Needs nothing but an exported model: it encodes drawn scenes with the model's VAE, draws their
outlines, and teaches a ControlNet to tell the frozen UNet where the lines are. The whole
ControlNet is put into ``edges`` at every checkpoint. Run the command again to resume it.
"""

import argparse
import copy
from functools import partial
from pathlib import Path

import torch
from accelerate import Accelerator
from by_hand import as_drawn, by_hand
from byte_pairs import tokenize
from cache_latents import Bucket, cache_latents, make_buckets
from dataset import Scenes
from denoising import Denoising, Latents, TextBatches, draw_noise, follow, make_walk
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from export import check_size, open_to_all, tidy_configs
from files import replace_folder
from flags import add_flags, parse_flags, start
from loading import Tensors
from models import factor_of, make_control
from outlines import cache_outlines, load_outlines, unpack
from parts import gather
from torch import Tensor
from training import Trainer
from transformers import CLIPTokenizer

LARGEST = 4.0
"""MiB that the ControlNet's file may have."""

EMPTY_CAPTIONS = 0.5
"""The share of empty captions: what they do not say has to be read from the lines."""


class ControlledDenoising(Denoising):
    """The frozen UNet with the ControlNet, and their loss in one forward."""

    def __init__(self, unet: UNet2DConditionModel, control: ControlNetModel) -> None:
        super().__init__(unet.requires_grad_(False))
        self.control = control

    def predict(self, noisy: Tensor, timesteps: Tensor, *conditions: Tensor) -> Tensor:
        """The prediction of v; the conditions are the prompts' embeddings and the sketches."""
        prompt_embeds, sketches = conditions
        down, middle = self.control(noisy, timesteps, prompt_embeds, sketches, return_dict=False)
        predicted: Tensor = self.unet(
            noisy, timesteps, prompt_embeds,
            down_block_additional_residuals=down, mid_block_additional_residual=middle,
        ).sample  # fmt: skip
        return predicted


def prepare(args: argparse.Namespace, accelerator: Accelerator, side: int) -> Bucket:
    """Encode the scenes and draw their outlines, unless that was done."""
    vae = AutoencoderKL.from_pretrained(args.out / "vae", use_safetensors=True)
    (bucket,) = make_buckets(args.data, side, pictures=args.cache, wide=0)
    cache_latents(
        args.out / "latents", vae.to(accelerator.device), args.data, (bucket,),
        accelerator=accelerator, workers=args.workers, scaling_factor=vae.config.scaling_factor,
    )  # fmt: skip
    with accelerator.main_process_first():
        cache_outlines(
            args.out / "outlines.safetensors", bucket.size, bucket.count, args.data.held_out,
            args.workers,
        )  # fmt: skip
    return bucket


def frozen_unet(model: Path, accelerator: Accelerator) -> UNet2DConditionModel:
    """The model's own, on the device."""
    unet = UNet2DConditionModel.from_pretrained(model / "unet", use_safetensors=True)
    if accelerator.device.type == "cpu":
        unet.set_attn_processor(AttnProcessor())
    return unet.to(accelerator.device)


def save(control: ControlNetModel, folder: Path) -> None:
    """In half precision, for everybody to read."""
    copy.deepcopy(control).half().save_pretrained(folder)
    tidy_configs(folder)
    open_to_all(folder)


def train(args: argparse.Namespace) -> None:
    """Train until ``--samples`` latents have been seen, beginning at the run's last
    checkpoint."""
    accelerator, data = start(args, batch=32), args.data
    with accelerator.main_process_first():
        gather(args.out, args.init)
    unet = frozen_unet(args.init, accelerator)
    factor = factor_of(AutoencoderKL.from_pretrained(args.init / "vae", use_safetensors=True))
    bucket = prepare(args, accelerator, unet.config.sample_size * factor)
    control = make_control(unet, factor)
    check_size("controlnet", control, LARGEST)
    average, model = copy.deepcopy(control), ControlledDenoising(unet, control)
    trainer = Trainer(args, accelerator, "control", model, average=average)
    latents = Latents(args.out, (bucket,), accelerator)
    outlines, held_out = load_outlines(args.out / "outlines.safetensors")
    tokenizer = CLIPTokenizer.from_pretrained(args.out / "tokenizer")
    # The empty prompt: how much the lines alone say.
    nothing = tokenize(tokenizer, [""] * len(held_out))

    def feed(step: int, batch: Tensors, generator: torch.Generator) -> Tensors:
        rows, input_ids = batch
        clean = latents.take(0, rows)
        noise = draw_noise(clean, generator)
        both = unpack(outlines[rows.cpu()].to(accelerator.device))
        return clean, *noise, latents.embed(input_ids), by_hand(both, generator)

    batches = TextBatches(
        data=data, share=trainer.share, tokenizer=tokenizer, buckets=(bucket,), wide=0,
        walks=(make_walk(data, bucket),), empty=EMPTY_CAPTIONS,
    )  # fmt: skip
    measured = ControlledDenoising(unet, average)
    for step in trainer.run(batches, feed):
        follow(average, control, min(args.ema, step / (step + 10)))
        if trainer.due(args.report):
            sketches = as_drawn(unpack(held_out)[:, 0])
            trainer.log.report(step, held_out=latents.measure(measured, nothing, sketches))
        if trainer.due(args.every):
            replace_folder(args.out / "edges", partial(save, average))


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="samples", seen=1_000_000, rate=1e-3, every=1000)
    add = parser.add_argument
    add("--init", type=Path, required=True, help="the exported model to control")
    add("--cache", type=int, default=100_000, help="scenes to encode [%(default)s]")
    add("--ema", type=float, default=0.999, help="decay of the averaged weights [%(default)s]")
    args = parse_flags(parser, argv)
    if not isinstance(args.data, Scenes):
        parser.error("--data must be left out: only of drawn scenes are the outlines known")
    return args


if __name__ == "__main__":
    train(parse())
