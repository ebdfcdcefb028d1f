"""The rows of the settings that any picture may have: its prompt, size, steps and guidance."""

from dataclasses import MISSING

from sdloop.prompt.chunks import EMPHASES
from sdloop.recipe.field import Field, section
from sdloop.recipe.guidance_grammar import (
    GUIDANCES,
    parse_guidance,
    parse_interval,
    parse_schedule,
)
from sdloop.recipe.kinds import Flag, Loras, Number, Numbers, Pair, Several, Text, Whole
from sdloop.recipe.limits import MAX_SEED, MAX_STEPS, STOP_NOISE, USUAL_STEPS
from sdloop.rules import MAX_SIDE
from sdloop.schedulers.names import AYS, SCHEDULERS, SIGMAS, SPACINGS, parse_scheduler

# fmt: off
PICTURE = section("Picture", {
    "prompt": Field(Text(), default=MISSING, essential=True, for_all=False, per_picture=True,
        replaces=("mix_prompts", "mix_weights", "slerp")),
    "negative_prompt": Field(Text(), "What it shall not show.",
        aliases=("-n",), metavar="TEXT", common=True, per_picture=True),
    "emphasis": Field(Text(EMPHASES), default="a1111",
        help="How (word:1.3) is meant: as A1111 does, without restoring the mean, or as plain "
        "text."),
    "steps": Field(Whole(1, MAX_STEPS), "How many steps the loop takes.", metavar="N",
        usual=f"{USUAL_STEPS}, or as many as are listed",
        common=True, essential=True, replaces=("timesteps", "sigmas_list")),
    "guidance_scale": Field(Number(0, 1e4),
        "How hard the prompt pulls; 1 is off and twice as fast. Default: the model's own.",
        aliases=("-g", "--cfg-scale", "--cfg", "--scale"), metavar="X",
        common=True, replaces=("guidance_schedule",)),
    "guidance_rescale": Field(Number(0, 1), default=0.0, metavar="X",
        help="0 to 1: give guided pictures their natural contrast back."),
    "width": Field(Whole(1, MAX_SIDE), "In pixels. Default: the model's own.",
        aliases=("-W",), metavar="N", common=True, essential=True),
    "height": Field(Whole(1, MAX_SIDE), "In pixels. Default: the model's own.",
        aliases=("-H",), metavar="N", common=True, essential=True),
    "tile": Field(Whole(0, MAX_SIDE),
        "See the picture through overlapping windows of this side in pixels; 0 is whole. "
        "Default: windows where an enlarged picture is much larger than the model's own.",
        metavar="N", for_all=False),
})

SEEDS = section("Prompts and seeds", {
    "seed": Field(Whole(0, MAX_SEED), default=MISSING,
        essential=True, for_all=False, per_picture=True),
    "variation_seed": Field(Whole(0, MAX_SEED),
        "Another seed, towards whose noise the first noise is turned.",
        metavar="N", for_all=False, per_picture=True),
    "variation_strength": Field(Number(0, 1), "0 to 1: how far.",
        metavar="X", for_all=False, per_picture=True),
})

MODEL = section("Model", {
    "model": Field(Text(likely=("mini",)), "Hub id, diffusers folder or .safetensors file. "
        "Default: SDLOOP_MODEL, then `sdloop config`, then the embedded mini.", default="mini",
        aliases=("-m",), metavar="MODEL", common=True, essential=True, keyed=False,
        replaces=("revision", "variant", "vae")),
    "revision": Field(Text(), "Branch, tag or commit on the hub.", metavar="NAME", keyed=False),
    "variant": Field(Text(), 'Of the weight files, such as "fp16".', metavar="NAME", keyed=False),
    "vae": Field(Text(), "Another VAE than the model's.", metavar="MODEL", keyed=False),
    "loras": Field(Loras(),
        "A LoRA to add, and how much of it: a file, a hub id, or a name in --lora-dir; may be "
        'repeated. In a prompt: "<lora:NAME:SCALE>". [dim]\\[default scale: 1][/dim]', default=(),
        flag="--lora", metavar="LORA[:SCALE]",
        common=True, essential=True, for_all=False, keyed=False),
})

GUIDANCE = section("Guidance", {
    "guidance": Field(Text(read=parse_guidance, likely=tuple(GUIDANCES)),
        f"Another formula: {', '.join(GUIDANCES)}; with numbers of its own as in "
        "apg:eta=0.2:norm=5.", metavar="NAME"),
    "guidance_interval": Field(Text(read=parse_interval),
        "Only where sigma is between these, as in 0.28..5.42; other steps are twice as fast.",
        metavar="LOW..HIGH"),
    "guidance_schedule": Field(Text(read=parse_schedule),
        "A scale for each step: linear:1..9, cosine:9..1, a list as 1,3,7.5 that is stretched "
        "over them, or a file with one.", metavar="SCALES", replaces=("guidance_scale",)),
    "pag_scale": Field(Number(0, 1e3),
        "Away from what the UNet predicts with self-attention that sees each place alone; "
        "one more run of it a step.", metavar="X"),
    "pag_layers": Field(Text(), "In these of its layers, as in mid,up_blocks.1. Default: mid.",
        metavar="NAMES"),
    "slg_scale": Field(Number(0, 1e3),
        "Away from what the UNet predicts with layers skipped; one more run of it a step.",
        metavar="X"),
    "slg_layers": Field(Text(), "These, named as above. Default: mid.", metavar="NAMES"),
})

SCHEDULER = section("Scheduler", {
    "scheduler": Field(Text(read=parse_scheduler, likely=tuple(SCHEDULERS)),
        'Such as euler, dpmpp-2m or "DPM++ 2M Karras", or an optimiser, such as adam. '
        "Default: the model's own.", aliases=("--sampler",), metavar="NAME",
        common=True, replaces=("learning_rate", "weight_decay", "stop_noise")),
    "sigmas": Field(Text((*SIGMAS, AYS)),
        f"How noise levels are spaced: {', '.join(SIGMAS)}, or {AYS}, Align Your Steps.",
        metavar="NAME", common=True, replaces=("timesteps", "sigmas_list")),
    "timestep_spacing": Field(Text(SPACINGS), f"How timesteps are spaced: {', '.join(SPACINGS)}.",
        metavar="NAME", replaces=("timesteps", "sigmas_list")),
    "eta": Field(Number(0, 1), "0 to 1: the noise that DDIM and TCD add back.", default=0.0,
        metavar="X"),
    "timesteps": Field(Numbers(whole=True),
        "The timestep of each step, as in 999,850,736; there are as many steps.",
        metavar="T,T,…", for_all=False,
        replaces=("steps", "sigmas_list", "sigmas", "timestep_spacing")),
    "sigmas_list": Field(Numbers(),
        "The noise level of each step and then 0, as in 14.6,3.9,1.4,0.4,0.",
        metavar="X,…,0", for_all=False,
        replaces=("steps", "timesteps", "sigmas", "timestep_spacing")),
    "learning_rate": Field(Number(1e-4, 1e4),
        "How far an optimiser steps, in shares of the noise. Default: its own.", metavar="X"),
    "weight_decay": Field(Number(0, 1e2), "How hard it pulls the latents to 0 as well.",
        metavar="X"),
    "stop_noise": Field(Number(0, 1e2), "It stops where so little noise is left.",
        metavar="SIGMA", usual=STOP_NOISE),
    "clip_skip": Field(Whole(1, 99), "2 reads the text encoder's last layer but one.", default=1,
        metavar="N"),
})

SDXL = section("SDXL only", {
    "prompt_2": Field(Text(), "What the second text encoder reads. Default: the prompt.",
        metavar="TEXT", for_all=False, per_picture=True),
    "negative_prompt_2": Field(Text(), "The same for the negative prompt.",
        metavar="TEXT", per_picture=True),
    "original_size": Field(Pair(), "What the model is told the photo's size was.", metavar="WxH"),
    "crop_top_left": Field(Pair(), "And where it was cropped.", metavar="TOP,LEFT"),
    "target_size": Field(Pair(), "And what size it became.", metavar="WxH"),
})

MIXTURE = section("Mixture", {
    "mix_prompts": Field(Several(), for_all=False, essential=True, per_picture=True),
    "mix_weights": Field(Numbers(), "Of several prompts, as in 2,1,1.", flag="--weights",
        metavar="X,Y,…", for_all=False, per_picture=True),
    "slerp": Field(Flag(), "At embedding: along the arc between two, not the line.", default=False,
        for_all=False, per_picture=True),
})
