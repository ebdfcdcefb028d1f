"""The VAE within memory: large pictures in tiles, and smaller parts if memory runs out."""

import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from torch import Tensor

from sdloop.models.components.seamless import goes_around
from sdloop.models.components.shell import on_cpu
from sdloop.models.memory import free_memory, is_out_of_memory

# The largest area that the VAE processes in one piece: 1.5 times SDXL's own area.
WHOLE_PIXELS = 1536 * 1024
TILE = 512

# A VAE's tiling is shared by all threads, and one batch is decoded while the next one is sampled,
# which may use the VAE too (losses, previews).
one_at_a_time = threading.RLock()

T = TypeVar("T")


def with_room(
    vae: Any, given: Tensor, work: Callable[[Any, Tensor], T], what: Literal["decode", "encode"]
) -> T:
    """``work(vae, given)`` as usual or, if memory runs out, in a way that needs less of it.

    First in tiles, then in small tiles, and finally on the CPU in float32: the steps that made the
    latents were expensive. There a copy works, because moving the VAE itself could run out of
    memory half way, in both directions. ``given`` is one picture, or its latents.
    """
    area = given.shape[-2] * given.shape[-1] * (vae_factor(vae) ** 2 if what == "decode" else 1)
    with one_at_a_time:
        for tile in (None, TILE, TILE // 2):
            try:
                with tiled(vae, area, at_most=tile):
                    return work(vae, given)
            except RuntimeError as error:
                if not is_out_of_memory(error):
                    raise
            # Outside of the handler, whose traceback keeps memory that must be freed first.
            free_memory()
            warnings.warn(
                f"not enough memory to {what} the picture in one piece: working on smaller parts",
                RuntimeWarning,
                stacklevel=3,
            )
        copy = on_cpu(vae)
        with tiled(copy, area, at_most=TILE):
            return work(copy, given.cpu())


@contextmanager
def tiled(vae: Any, pixels: int, *, at_most: int | None = None) -> Iterator[None]:
    """Let the VAE process a picture of that many pixels in tiles, if it is a large one.

    Otherwise memory would grow with the area: an SD1 decoder takes 4 GB in float32 for 1024x1024.
    These are diffusers' own tiles, which overlap by a quarter and are blended, at the size that the
    VAE was trained at but at least ``TILE``. Each tile has its own statistics in the group norms,
    so a tiled picture is never bit-equal to one decoded in one piece. If memory is short,
    ``at_most`` is the side of a tile, whatever the picture's size. A seamless picture stays in one
    piece, for its tiles would go around at their own edges.
    """
    if (pixels <= WHOLE_PIXELS and at_most is None) or goes_around(vae):
        yield
        return
    before = vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size
    side = max(TILE, vae.tile_sample_min_size) if at_most is None else at_most
    vae.use_tiling, vae.tile_sample_min_size = True, side
    vae.tile_latent_min_size = side // vae_factor(vae)
    try:
        yield
    finally:
        vae.use_tiling, vae.tile_sample_min_size, vae.tile_latent_min_size = before


def vae_factor(vae: Any) -> int:
    """Pixels per latent, along each side."""
    return int(2 ** (len(vae.config.block_out_channels) - 1))
