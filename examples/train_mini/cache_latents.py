"""Encode pictures once, so that the UNet's training never runs the VAE.

A bucket is the pictures of one shape. Its file holds the posteriors' means in float16 and, in its
header, what they were made from and the number that scales them to unit size. Captions are not in
it: they are told anew each time a picture comes around.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from accelerate import Accelerator
from dataset import HELD_OUT, Data, Size
from diffusers import AutoencoderKL
from loading import Tensors, load
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm
from train_vae import stack_pictures, to_floats

BATCH, BATCH_ON_CPU = 32, 8
"""Pictures encoded at once. On a CPU few are faster: their features stay in its cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Bucket:
    """Pictures of one size: the ``count`` places from ``first`` on."""

    size: Size
    first: int
    count: int

    @property
    def name(self) -> str:
        return "{}x{}".format(*self.size)


def make_buckets(data: Data, side: int, *, pictures: int, wide: float) -> tuple[Bucket, ...]:
    """The square bucket and, for a share ``wide`` of the steps, a wide and a tall one of three to
    two.

    Each gets its share of the pictures where there is no end of them, and all there are where
    there is one.
    """
    long = side * 3 // 2
    sizes = ((side, side), (long, side), (side, long)) if wide else ((side, side),)
    shares = (1 - wide, wide / 2, wide / 2)
    buckets: list[Bucket] = []
    for size, share in zip(sizes, shares, strict=False):
        count = round(pictures * share) if data.count is None else min(data.count, pictures)
        first = sum(bucket.count for bucket in buckets)
        buckets.append(Bucket(size=size, first=first, count=max(1, count)))
    return tuple(buckets)


@dataclass(frozen=True, kw_only=True, slots=True)
class Slices:
    """The pictures of places in a row, cut into batches, for a worker to make."""

    data: Data
    size: Size
    places: range
    batch: int

    def __call__(self, step: int) -> Tensors:
        places = self.places[step * self.batch : (step + 1) * self.batch]
        return (stack_pictures(self.data, places, self.size),)

    def __len__(self) -> int:
        return -(-len(self.places) // self.batch)


@torch.no_grad()
def encode(
    vae: AutoencoderKL, slices: Slices, accelerator: Accelerator, workers: int
) -> Iterator[Tensor]:
    """Posterior means of the slices' pictures, float16 (batch, channels, height, width)."""
    steps = range(len(slices))
    batches = load(slices, steps, workers=workers, device=accelerator.device)
    shown = accelerator.is_main_process
    for (pictures,), _ in tqdm(batches, "encoding", len(steps), disable=not shown):
        with accelerator.autocast():
            floats = to_floats(pictures.to(accelerator.device))
            yield vae.encode(floats).latent_dist.mean.half().contiguous()


def encode_together(
    vae: AutoencoderKL,
    data: Data,
    size: Size,
    places: range,
    accelerator: Accelerator,
    workers: int,
) -> Tensor:
    """The latents of all the places, on the CPU; each process encodes an equal part of them."""
    world, rank = accelerator.num_processes, accelerator.process_index
    each = -(-len(places) // world)
    # The last parts may reach beyond the end: gathering wants equal ones, and cuts them off.
    mine = range(places.start + rank * each, places.start + (rank + 1) * each)
    batch = BATCH_ON_CPU if accelerator.device.type == "cpu" else BATCH
    slices = Slices(data=data, size=size, places=mine, batch=batch)
    parts = list(encode(vae, slices, accelerator, workers))
    return accelerator.gather(torch.cat(parts))[: len(places)].cpu()


def encoder_hash(vae: AutoencoderKL) -> str:
    """What decides the latents of a VAE: its encoder's weights, as an exported folder has them."""
    digest = hashlib.sha256()
    for name, value in sorted(vae.state_dict().items()):
        if name.startswith(("encoder.", "quant_conv.")):
            digest.update(value.detach().cpu().half().numpy().tobytes())
    return digest.hexdigest()


def read_header(file: Path) -> dict[str, str]:
    """What a bucket's file says of itself."""
    with safe_open(file, "pt") as bucket:
        return dict(bucket.metadata())


def check_header(file: Path, wanted: dict[str, str]) -> None:
    """Refuse latents of another making: training on them would go wrong without a word."""
    header = read_header(file)
    for field, value in wanted.items():
        if header.get(field) != value:
            raise SystemExit(
                f"{file} is of another {field} ({header.get(field)}, now {value}): "
                "remove the folder to encode the pictures anew"
            )


def cache_latents(
    folder: Path,
    vae: AutoencoderKL,
    data: Data,
    buckets: tuple[Bucket, ...],
    *,
    accelerator: Accelerator,
    workers: int,
    scaling_factor: float | None,
) -> None:
    """Write the buckets' files that are not there, and check those that are.

    Without a ``scaling_factor`` the one is taken that brings the square bucket to unit size.
    """  # fmt: skip
    for bucket in buckets:
        file = folder / f"{bucket.name}.safetensors"
        header = {
            "encoder": encoder_hash(vae), "data": data.name, "first": str(bucket.first),
            "count": str(bucket.count),
        }  # fmt: skip
        if file.is_file():
            check_header(file, header)
            scaling_factor = float(read_header(file)["scaling_factor"])
            continue
        rows = range(bucket.first, bucket.first + bucket.count)
        held_out = range(HELD_OUT, HELD_OUT + min(256, data.held_out))
        latents, measured = (
            encode_together(vae, data, bucket.size, places, accelerator, workers)
            for places in (rows, held_out)
        )
        if scaling_factor is None:
            scaling_factor = 1 / latents.float().std().item()
        if accelerator.is_main_process:
            header |= {"scaling_factor": repr(scaling_factor)}
            folder.mkdir(parents=True, exist_ok=True)
            fresh = file.with_suffix(".new")
            save_file({"latents": latents, "held_out": measured}, fresh, metadata=header)
            fresh.replace(file)
            print(f"{file}: {bucket.count} pictures, {scaling_factor=:.4f}", flush=True)
    accelerator.wait_for_everyone()
