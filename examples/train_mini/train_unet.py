"""Train the UNet of the embedded model on cached latents, with a text encoder that can read.

    python examples/train_mini/train_unet.py --out runs/mini
    python examples/train_mini/train_unet.py --out runs/on --init sdloop/mini

The first command goes on from where train_words.py and train_vae.py left the run. The second needs
nothing else: it takes all four parts from an exported model, and goes on with its UNet. Each
encodes the pictures first unless that was done, and puts a whole model into ``model`` and a sheet
of samples into ``samples`` at every checkpoint. Run a command again to resume it.
"""

import argparse
import copy
from pathlib import Path

import torch
from accelerate import Accelerator
from byte_pairs import tokenize
from cache_latents import Bucket, cache_latents, make_buckets
from dataset import held_out_places
from denoising import Denoising, Latents, TextBatches, bucket_at, draw_noise, follow, make_walk
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from export import check_size, export
from files import replace_folder
from flags import add_flags, parse_flags, start
from loading import Tensors
from models import factor_of, make_unet
from parts import gather
from sample import sample_sheet
from training import Trainer
from transformers import CLIPTokenizer

CHANNELS = (64, 128, 144)


def first_unet(args: argparse.Namespace, latent_size: int) -> UNet2DConditionModel:
    """The weights to begin with: an exported model's, or random ones of ``--seed``."""
    if args.init:
        unet = UNet2DConditionModel.from_pretrained(args.init / "unet", use_safetensors=True)
    else:
        unet = make_unet(latent_size, tuple(args.channels or CHANNELS))
    check_size("unet", unet, args.largest)
    return unet


def prepare(
    args: argparse.Namespace, accelerator: Accelerator
) -> tuple[tuple[Bucket, ...], Latents, UNet2DConditionModel]:
    """What the run must have before it trains: the other parts, and the pictures encoded."""
    with accelerator.main_process_first():
        gather(args.out, args.init)
    vae = AutoencoderKL.from_pretrained(args.out / "vae", use_safetensors=True)
    vae.to(accelerator.device)
    side = vae.config.sample_size
    unet = first_unet(args, side // factor_of(vae))
    if accelerator.device.type == "cpu":
        # The fused attention's backward is slow there: plain products train a quarter faster.
        unet.set_attn_processor(AttnProcessor())
    buckets = make_buckets(args.data, side, pictures=args.cache, wide=args.wide)
    cache_latents(
        args.out / "latents", vae, args.data, buckets, accelerator=accelerator,
        workers=args.workers, scaling_factor=vae.config.scaling_factor if args.init else None,
    )  # fmt: skip
    return buckets, Latents(args.out, buckets, accelerator), unet


def train(args: argparse.Namespace) -> None:
    """Train until ``--samples`` latents have been seen, beginning at the run's last
    checkpoint."""
    accelerator, data = start(args, batch=16), args.data
    buckets, latents, unet = prepare(args, accelerator)
    model, average = Denoising(unet), copy.deepcopy(unet)
    trainer = Trainer(args, accelerator, "unet", model, average=average)
    tokenizer = CLIPTokenizer.from_pretrained(args.out / "tokenizer")
    held_out = [data.caption(place, 0) for place in held_out_places(data, len(latents.held_out))]
    held_out_ids = tokenize(tokenizer, held_out)

    def feed(step: int, batch: Tensors, generator: torch.Generator) -> Tensors:
        rows, input_ids = batch
        clean = latents.take(bucket_at(step, args.wide)[0], rows)
        noise = draw_noise(clean, generator, details=args.details)
        return clean, *noise, latents.embed(input_ids)

    batches = TextBatches(
        data=data, share=trainer.share, tokenizer=tokenizer, buckets=buckets, wide=args.wide,
        walks=tuple(make_walk(data, bucket, args.balance, args.oftener) for bucket in buckets),
    )  # fmt: skip
    for step in trainer.run(batches, feed):
        follow(average, unet, min(args.ema, step / (step + 10)))
        if trainer.due(args.report):
            trainer.log.report(step, held_out=latents.measure(Denoising(average), held_out_ids))
        if trainer.due(args.every):
            replace_folder(args.out / "unet", average.save_pretrained)
            export(args.out, args.out / "model", data, largest=args.largest)
            sample_sheet(args.out / "model", args.out / f"samples/{step:07d}.png")


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="samples", seen=8_000_000, rate=2e-3, every=1000)
    add = parser.add_argument
    add("--channels", type=int, nargs=3, help=f"of the three levels {list(CHANNELS)}")
    add("--init", type=Path, help="begin with all the parts of this exported model")
    add("--cache", type=int, default=100_000, help="pictures to encode at most [%(default)s]")
    add("--wide", type=float, default=0.2, help="share of wide and tall pictures [%(default)s]")
    add("--details", action="store_true", help="train oftener with little noise, towards the end")
    add("--balance", help="see the answers to this question equally often, as doing")
    add("--oftener", nargs="+", default=[], help="see scenes with these answers thrice, as giraffe")
    add("--ema", type=float, default=0.999, help="decay of the averaged weights [%(default)s]")
    add("--largest", type=float, default=16, help="MiB a weight file may have [%(default)s]")
    args = parse_flags(parser, argv)
    if args.init and args.channels:
        parser.error("--channels must be left to the model that --init names")
    if args.balance not in (None, *args.data.questions):
        known = ", ".join(args.data.questions)
        parser.error(f"--balance must be one of {known}, got {args.balance}")
    answers = [str(answer) for choices in args.data.questions.values() for answer in choices]
    if strange := set(args.oftener).difference(answers):
        parser.error(f"--oftener must name answers of the data, got {', '.join(sorted(strange))}")
    if not 0 <= args.wide < 1:
        parser.error(f"--wide must be at least 0 and below 1, got {args.wide}")
    return args


if __name__ == "__main__":
    train(parse())
