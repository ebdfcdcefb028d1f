"""Table rows: the settings of every picture, such as prompt, size, steps and guidance."""

from dataclasses import MISSING

from sdloop.prompt.chunks import EMPHASES
from sdloop.recipe.field import Field, section
from sdloop.recipe.guidance_grammar import (
    GUIDANCES,
    parse_guidance,
    parse_interval,
    parse_schedule,
)
from sdloop.recipe.kinds import Compound, Flag, Number, Numbers, Pair, Several, Text, Whole
from sdloop.recipe.limits import (
    MAX_LONG_SEED,
    MAX_SEED,
    MAX_STEPS,
    REFINER_START,
    RNGS,
    SCORES,
    SEAMLESS,
    STOP_NOISE,
    USUAL_STEPS,
)
from sdloop.recipe.loras import Lora, parse_lora
from sdloop.rules import MAX_SIDE
from sdloop.schedulers.names import AYS, BY_STRENGTH, SCHEDULERS, SIGMAS, SPACINGS, parse_scheduler

# fmt: off
PICTURE = section("Picture", {
    "prompt": Field(Text(),
        default=MISSING, essential=True, for_all=False, per_picture=True,
        replaces=("mix_prompts", "mix_weights", "slerp")),
    "negative_prompt": Field(Text(), "What to keep out of the picture.",
        aliases=("-n",), metavar="TEXT", common=True, per_picture=True),
    "emphasis": Field(Text(EMPHASES),
        "How weights such as (word:1.3) are read: as A1111 reads them (a1111), without its "
        "correction of the mean (no-norm), or not at all (none).",
        default="a1111"),
    "steps": Field(Whole(1, MAX_STEPS), "Number of denoising steps.",
        metavar="N", usual=f"{USUAL_STEPS}; fewer for a model that is made for a few", common=True,
        essential=True, replaces=("timesteps", "sigmas_list")),
    "guidance_scale": Field(Number(0, 1e4),
        "How strongly the picture follows the prompt. 1 turns guidance off and is twice as fast. "
        "Default: the model's own.",
        aliases=("-g", "--cfg-scale", "--cfg", "--scale"), metavar="X", common=True,
        replaces=("guidance_schedule",)),
    "guidance_rescale": Field(Number(0, 1),
        "0 to 1: reduce the excess contrast of guided pictures.",
        default=0.0, metavar="X"),
    "width": Field(Whole(1, MAX_SIDE), "Width in pixels. Default: the model's own.",
        aliases=("-W",), metavar="N", essential=True),
    "height": Field(Whole(1, MAX_SIDE), "Height in pixels. Default: the model's own.",
        aliases=("-H",), metavar="N", essential=True),
    "tile": Field(Whole(0, MAX_SIDE),
        "Run the UNet on overlapping windows with this side in pixels; 0 runs it on the whole "
        "picture. Default: windows if an enlarged picture is much larger than the model's own "
        "size.",
        metavar="N", for_all=False),
    "seamless": Field(Text(SEAMLESS),
        "Let the picture go on at its opposite edge, so that it can be laid side by side: to the "
        "left and right (x), above and below (y), or both (xy).",
        metavar="x|y|xy", for_all=False),
    "reuse": Field(Whole(1, MAX_STEPS),
        "Faster, and approximate: run the whole UNet in every N-th step only, and just its "
        "outermost layers in the others.",
        metavar="N", usual=1),
})

SEEDS = section("Prompts and seeds", {
    "seed": Field(Whole(0, MAX_LONG_SEED), default=MISSING, essential=True, per_picture=True),
    "variation_seed": Field(Whole(0, MAX_LONG_SEED),
        "A second seed; its noise is mixed into the noise of --seed.",
        metavar="N", per_picture=True),
    "variation_strength": Field(Number(0, 1),
        "How much of the second seed's noise: 0 is none, 1 is all.",
        metavar="X", per_picture=True),
    "rng": Field(Text(RNGS),
        "Generator of the noise: torch's for the CPU, or philox, that of CUDA GPUs, with which "
        "A1111, Forge and stable-diffusion.cpp make their pictures.",
        metavar="NAME", usual=RNGS[0]),
    "eta_noise_seed_delta": Field(Whole(1, MAX_SEED),
        "Added to the seed for the noise that samplers such as euler-a add in their steps; A1111's "
        "ENSD.",
        aliases=("--ensd",), metavar="N"),
}, for_all=False)

MODEL = section("Model", {
    "model": Field(Text(likely=("mini",)),
        "Hub id, diffusers folder or .safetensors file. Also the address of a file on "
        "huggingface.co or civitai.com. Default: SDLOOP_MODEL, then `sdloop config`, then the "
        "embedded mini.",
        default="mini", aliases=("-m",), metavar="MODEL", common=True, essential=True, keyed=False,
        replaces=("revision", "variant", "vae", "unet", "refiner", "refiner_start")),
    "revision": Field(Text(), "Branch, tag or commit on the hub.", metavar="NAME", keyed=False),
    "variant": Field(Text(),
        'Variant of the weight files, such as "fp16". Also of --vae and --unet.',
        metavar="NAME", keyed=False),
    "vae": Field(Text(),
        "VAE to use instead of the model's own. A hub id, folder, file or web address.",
        metavar="MODEL", keyed=False),
    "unet": Field(Text(),
        "UNet to use instead of the model's own: a file with a fine-tuned UNet alone, such as "
        "SDXL-Lightning's, a whole model, a folder, a hub id or a web address.",
        metavar="MODEL", keyed=False),
    "loras": Field(Compound(Lora, parse_lora, "ink.safetensors:0.8"),
        "LoRA to add, with its scale: a file, a hub id or a name in --lora-dir. A web address is "
        'fine too. May be repeated. In a prompt: "<lora:NAME:SCALE>". Default scale: 1. With two '
        "scales, as in 0.8:0.5, the first is for the text encoders.",
        default=(), flag="--lora", metavar="LORA[:SCALE]", common=True, essential=True,
        for_all=False, keyed=False),
})

GUIDANCE = section("Guidance", {
    "guidance": Field(Text(read=parse_guidance, likely=tuple(GUIDANCES)),
        f"Guidance method: {', '.join(GUIDANCES)}. Numbers of its own may follow, as in "
        "apg:eta=0.2:norm=5.",
        metavar="NAME"),
    "guidance_interval": Field(Text(read=parse_interval),
        "Use guidance only while sigma is between these values, as in 0.28..5.42. The other steps "
        "are twice as fast.",
        metavar="LOW..HIGH"),
    "guidance_schedule": Field(Text(read=parse_schedule),
        "Guidance scale of each step: linear:1..9, cosine:9..1, a list such as 1,3,7.5 (spread "
        "over the steps), or a file with such a list.",
        metavar="SCALES", replaces=("guidance_scale",)),
    "pag_scale": Field(Number(0, 1e3),
        "Perturbed-attention guidance: how far to move away from a prediction with weakened "
        "self-attention. Runs the UNet once more per step.",
        metavar="X"),
    "pag_layers": Field(Text(),
        "UNet layers that --pag-scale weakens, such as mid,up_blocks.1. Default: mid.",
        metavar="NAMES"),
    "slg_scale": Field(Number(0, 1e3),
        "Skip-layer guidance: how far to move away from a prediction with some layers skipped. "
        "Runs the UNet once more per step.",
        metavar="X"),
    "slg_layers": Field(Text(),
        "UNet layers that --slg-scale skips, such as mid,up_blocks.1. Default: mid.",
        metavar="NAMES"),
})

SCHEDULER = section("Scheduler", {
    "scheduler": Field(Text(read=parse_scheduler, likely=tuple(SCHEDULERS)),
        'Name of the scheduler, such as dpmpp-2m. "DPM++ 2M Karras" works too, and optimisers such '
        "as adam. Default: the model's own.",
        aliases=("--sampler",), metavar="NAME", common=True,
        replaces=("learning_rate", "weight_decay", "stop_noise")),
    "sigmas": Field(Text((*SIGMAS, AYS)),
        f"Spacing of the noise levels: {', '.join(SIGMAS)}, or {AYS} (Align Your Steps).",
        metavar="NAME", replaces=("timesteps", "sigmas_list")),
    "timestep_spacing": Field(Text((*SPACINGS, BY_STRENGTH)),
        f"Spacing of the timesteps: {', '.join(SPACINGS)}; or {BY_STRENGTH}, for LCM with an input "
        "picture: all steps are run, within the strength.",
        metavar="NAME", replaces=("timesteps", "sigmas_list")),
    "eta": Field(Number(0, 1), "0 to 1: how much noise DDIM and TCD add in each step.",
        default=0.0, metavar="X"),
    "timesteps": Field(Numbers(whole=True),
        "Timestep of each step, as in 999,850,736. Replaces --steps.",
        metavar="T,T,…", for_all=False,
        replaces=("steps", "sigmas_list", "sigmas", "timestep_spacing")),
    "sigmas_list": Field(Numbers(),
        "Noise levels of the steps, then 0. As in 14.6,3.9,1.4,0.4,0. Replaces --steps.",
        metavar="X,…,0", for_all=False,
        replaces=("steps", "timesteps", "sigmas", "timestep_spacing")),
    "learning_rate": Field(Number(1e-4, 1e4),
        "Step size of an optimiser, relative to the noise. Default: the optimiser's own.",
        metavar="X"),
    "weight_decay": Field(Number(0, 1e2), "How strongly optimisers pull latents to 0.",
        metavar="X"),
    "stop_noise": Field(Number(0, 1e2), "Noise level at which an optimiser stops.",
        metavar="SIGMA", usual=STOP_NOISE),
    "clip_skip": Field(Whole(1, 99),
        "Layer of the text encoder: 1 is the one that the model was trained with, 2 the one "
        "before it.",
        default=1, metavar="N"),
})

SDXL = section("SDXL only", {
    "prompt_2": Field(Text(), "Prompt for the second text encoder. Default: the prompt.",
        metavar="TEXT", for_all=False, per_picture=True),
    "negative_prompt_2": Field(Text(),
        "Negative prompt for the second text encoder. Default: the negative prompt.",
        metavar="TEXT", per_picture=True),
    "original_size": Field(Pair(), "Size of the original photo, as an input of the model.",
        metavar="WxH"),
    "crop_top_left": Field(Pair(), "Where the photo was cropped, as an input of the model.",
        metavar="TOP,LEFT"),
    "target_size": Field(Pair(), "Size after cropping, as an input of the model.", metavar="WxH"),
})

REFINER = section("SDXL only", {
    "refiner": Field(Text(),
        "Model that finishes the picture: SDXL's refiner, or another SDXL model. A hub id, a "
        "folder or a file.",
        metavar="MODEL", essential=True, keyed=False,
        replaces=("refiner_start", "aesthetic_score", "negative_aesthetic_score")),
    "refiner_start": Field(Number(0, 1),
        "Where the refiner takes over, between 0 (the first noise level) and 1 (no noise).",
        metavar="X", usual=REFINER_START),
    "aesthetic_score": Field(Number(0, 10), "How beautiful the refiner makes the picture.",
        metavar="X", usual=SCORES[0]),
    "negative_aesthetic_score": Field(Number(0, 10),
        "How beautiful the pictures are that the refiner moves away from.",
        metavar="X", usual=SCORES[1]),
})

MIXTURE = section("Mixture", {
    "mix_prompts": Field(Several(), essential=True, per_picture=True),
    "mix_weights": Field(Numbers(), "Weight of each prompt, as in 2,1,1.",
        flag="--weights", metavar="X,Y,…", per_picture=True),
    "slerp": Field(Flag(),
        "With --at embedding: mix two prompts along an arc (slerp) instead of a straight line.",
        default=False, per_picture=True),
}, for_all=False)
