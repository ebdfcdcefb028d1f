"""Train a LoRA on the embedded model's own pictures in two colours; draw a row at five scales.

python examples/train_lora.py 500 examples/lora/cyanotype.safetensors row.png
"""

import sys

import torch
from diffusers import DDPMScheduler
from peft import LoraConfig, get_peft_model_state_dict
from PIL import ImageOps
from safetensors.torch import save_file

import sdloop
from sdloop.conditioning.encode import condition
from sdloop.images.sheet import sheet
from sdloop.latents.vae import encode, scale, to_pixels

SUBJECTS = ("a frog", "a red house", "a white cat", "a snail", "a castle", "a robot", "a blue boat")
PLACES = ("on a plain background", "in a park", "at night", "on a beach")
LAYERS = ["to_q", "to_k", "to_v", "to_out.0", "conv1", "conv2", "conv_out"]

steps, file, row = int(sys.argv[1]), sys.argv[2], sys.argv[3]
parts, unet = sdloop.load_components(), sdloop.load_components().unet.requires_grad_(False)
recipes = [sdloop.Recipe(prompt=f"{s} {place}", seed=9) for s in SUBJECTS for place in PLACES]
clean, texts = [], []
for made in sdloop.generate(parts, recipes[:steps]):
    blue = ImageOps.colorize(made.image.convert("L"), "#0b2545", "#f4f1e4")
    clean.append(scale(parts.vae, encode(parts.vae, to_pixels(blue)).mean).detach())
    texts.append(condition(parts, made.recipe).prompt_embeds)
unet.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=LAYERS))
optimizer = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=1e-3)
noising = DDPMScheduler.from_config(parts.scheduler_config)
for _ in range(steps):
    rows, t = torch.randint(len(clean), (8,)).tolist(), torch.randint(1000, (8,))
    latents, text = (torch.cat([table[index] for index in rows]) for table in (clean, texts))
    noise = torch.randn_like(latents)
    predicted = unet(noising.add_noise(latents, noise, t), t, text).sample
    (predicted - noising.get_velocity(latents, noise, t)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()
save_file({f"unet.{name}": w.half() for name, w in get_peft_model_state_dict(unet).items()}, file)
loras = {s: [f"{file}:{s}"] for s in ("0", "0.25", "0.5", "0.75", "1")}
recipes = [sdloop.Recipe(prompt="a frog in a park", seed=4, loras=lora) for lora in loras.values()]
sheet([[made.image for made in sdloop.generate(parts, recipes)]], columns=list(loras)).save(row)
