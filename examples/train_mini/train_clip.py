"""Train the CLIP beside the embedded model: how well does a picture fit a text?

    python examples/train_mini/train_clip.py --out runs/mini
    python examples/train_mini/train_clip.py --out runs/clip --init sdloop/mini

The first command goes on from where train_words.py and train_vae.py left the run: the text tower
begins as its text encoder, and the pictures are those of its VAE's size. The second takes these
parts from an exported model. At every checkpoint there is a whole CLIP in ``clip``, in the format
of Hugging Face's CLIPModel. Run a command again to resume it.
"""

import argparse
import shutil
from pathlib import Path

import torch
from contrast import ClaimBatches, Contrast, measure_choices
from dataset import held_out_places
from diffusers import AutoencoderKL
from export import open_to_all, write_json
from files import replace_folder
from flags import add_flags, parse_flags, start
from loading import Tensors
from models import make_clip
from parts import gather
from train_vae import to_floats
from training import Trainer
from transformers import CLIPModel, CLIPTextModel, CLIPTokenizer
from wear import wear

MEASURED = 128
"""Held-out pictures of a report."""

PROCESSOR: dict[str, object] = {
    "image_processor_type": "CLIPImageProcessor",
    "do_convert_rgb": True,
    "do_resize": True,
    "resample": 3,
    "do_center_crop": True,
    "do_rescale": True,
    "rescale_factor": 1 / 255,
    "do_normalize": True,
    "image_mean": [0.5, 0.5, 0.5],
    "image_std": [0.5, 0.5, 0.5],
}
"""What transformers writes of one; to make one it wants torchvision."""


def save_clip(clip: CLIPModel, tokenizer: Path, folder: Path) -> None:
    """Write the CLIP with its tokenizer and how it sees pictures; the weights as halves.

    The config says float32, which is what transformers then loads the halves in: exactly.
    """
    state = {name: value.half().cpu() for name, value in clip.state_dict().items()}
    clip.save_pretrained(folder, state_dict=state)
    side = clip.config.vision_config.image_size
    view = {"size": {"shortest_edge": side}, "crop_size": {"height": side, "width": side}}
    write_json(folder / "preprocessor_config.json", {**PROCESSOR, **view})
    for file in tokenizer.iterdir():
        shutil.copy(file, folder)
    open_to_all(folder)


def train(args: argparse.Namespace) -> None:
    """Train until ``--pictures`` have been seen, beginning at the run's last checkpoint."""
    accelerator, data = start(args, batch=64), args.data
    if args.read_every > 1 and accelerator.num_processes > 1 and not args.average_every:
        raise SystemExit(
            "--read-every leaves processes without gradients to share: --average-every"
        )
    with accelerator.main_process_first():
        gather(args.out, args.init)
    vae = AutoencoderKL.from_pretrained(
        args.out / "vae", torch_dtype=torch.float32, use_safetensors=True
    ).to(accelerator.device)
    tokenizer = CLIPTokenizer.from_pretrained(args.out / "tokenizer")
    text_encoder = CLIPTextModel.from_pretrained(args.out / "text_encoder", dtype=torch.float32)
    side = vae.config.sample_size
    clip = make_clip(text_encoder, size=side, width=args.width, layers=args.layers)
    if accelerator.device.type == "cpu":
        clip.set_attn_implementation("eager")  # whose backward is the fast one there
    model = Contrast(clip, data)
    trainer = Trainer(args, accelerator, "clip", model)

    def feed(step: int, batch: Tensors, generator: torch.Generator) -> Tensors:
        pictures, *rest = batch
        return wear(to_floats(pictures), vae, generator), *rest

    batches = ClaimBatches(
        data=data, share=trainer.share, tokenizer=tokenizer, size=(side, side),
        read_every=args.read_every,
    )  # fmt: skip
    held_out = batches.whole(held_out_places(data, MEASURED))
    measured = to_floats(held_out[0]).to(accelerator.device)
    for step in trainer.run(batches, feed):
        if trainer.due(args.report):
            trainer.log.report(step, **measure_choices(model, held_out, measured))
        if trainer.due(args.every):
            replace_folder(
                args.out / "clip", lambda fresh: save_clip(clip, args.out / "tokenizer", fresh)
            )


def parse(argv: list[str] | None = None) -> argparse.Namespace:
    """The command's flags."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_flags(parser, unit="pictures", seen=1_000_000, rate=1e-3, every=500)
    add = parser.add_argument
    add("--init", type=Path, help="take what the run lacks from this exported model")
    add("--width", type=int, default=192, help="of the tower of pictures [%(default)s]")
    add("--layers", type=int, default=4, help="of the tower of pictures [%(default)s]")
    add("--read-every", type=int, default=1, help="steps to one with captions [%(default)s]")
    args = parse_flags(parser, argv)
    if args.read_every < 1:
        parser.error(f"--read-every must be at least 1, got {args.read_every}")
    if args.width % 48:
        parser.error(f"--width must be a multiple of 48, got {args.width}")
    return args


if __name__ == "__main__":
    train(parse())
