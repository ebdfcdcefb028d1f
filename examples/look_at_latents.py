"""Encode a picture with the VAE and decode it again; show the result, the error and the latents.

python examples/look_at_latents.py examples/sketch/park.png latents.png
"""

import sys

from PIL import Image

import sdloop
from sdloop.images.sheet import sheet
from sdloop.inspection.latents import channel_images, round_trip

source, file = sys.argv[1:]
components = sdloop.load_components()
with Image.open(source) as opened:
    picture = opened.convert("RGB").resize(components.native_size)

trip = round_trip(components.vae, picture)
print(f"PSNR {trip.psnr:.1f} dB; the latents have {trip.compression:.0f} times fewer numbers")

channels = [channel.resize(picture.size, 0) for channel in channel_images(trip.latents)]
labels = ["picture", "decoded", "error x4", *map(str, range(len(channels)))]
sheet([[picture, trip.back, trip.error, *channels]], columns=labels).save(file)
