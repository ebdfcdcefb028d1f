"""Teach the embedded model a style, by its own pictures in two colours; then a row at five scales.

python examples/train_lora.py 1000 examples/lora/cyanotype.safetensors row.png
"""

import sys

import torch
from diffusers import DDPMScheduler
from peft import LoraConfig, get_peft_model_state_dict
from PIL import ImageOps
from safetensors.torch import save_file

import sdloop
from sdloop.conditioning import condition
from sdloop.image import encode, scale, to_pixels

SUBJECTS = ("a frog", "a red house", "a white cat", "a snail", "a castle", "a robot", "a blue boat")
PLACES = ("on a plain background", "in a park", "at night", "on a beach")
SCALES = (0.0, 0.25, 0.5, 0.75, 1.0)

steps, file, row = int(sys.argv[1]), sys.argv[2], sys.argv[3]
prompts = [f"{subject} {place}" for subject in SUBJECTS for place in PLACES][-steps:]
parts = sdloop.load_components()
latents, texts = [], []
for picture in sdloop.generate(
    parts, [sdloop.Recipe(prompt=p, seed=n) for n, p in enumerate(prompts)]
):
    blue = ImageOps.colorize(picture.image.convert("L"), "#0b2545", "#f4f1e4")
    latents.append(scale(parts.vae, encode(parts.vae, to_pixels(blue)).mean).detach())
    texts.append(condition(parts, picture.recipe).prompt_embeds)

layers = LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
unet = sdloop.load_components().unet.requires_grad_(False)
unet.add_adapter(layers)
optimizer = torch.optim.AdamW([p for p in unet.parameters() if p.requires_grad], lr=5e-4)
schedule = DDPMScheduler.from_config(parts.scheduler_config)
for step in range(steps):
    rows = torch.randint(len(latents), (8,)).tolist()
    clean, text = (torch.cat([table[row] for row in rows]) for table in (latents, texts))
    t, noise = torch.randint(1000, (8,)), torch.randn_like(clean)
    predicted = unet(schedule.add_noise(clean, noise, t), t, text).sample
    loss = (predicted - schedule.get_velocity(clean, noise, t)).square().mean()
    loss.backward()
    optimizer.step()
    optimizer.zero_grad()
    print(step, round(loss.item(), 4)) if step % 50 == 0 else None
save_file({f"unet.{k}": v.half() for k, v in get_peft_model_state_dict(unet).items()}, file)
