"""Every flag of the commands, defined once, in groups that a command takes whole.

A field's name is the name of the setting everywhere else: in a Recipe, in TOML, in a picture's
metadata. ``None`` means that the flag was not given, so that a settings file may decide.
"""

from dataclasses import dataclass
from typing import Annotated

import typer

from sdloop.cli.options.groups import option
from sdloop.prompt.chunks import EMPHASES
from sdloop.recipe.guidance_grammar import GUIDANCES
from sdloop.recipe.limits import LOSS_MODES, STOP_NOISE, USUAL_STEPS
from sdloop.recipe.loss_grammar import NAMES
from sdloop.schedulers.names import AYS, SCHEDULERS, SIGMAS, SPACINGS

PromptArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="PROMPT",
        help='What the picture shows; "-" reads it from standard input. (word:1.3), \\[word], '
        "\\[this:that:0.5] and BREAK are read as A1111 reads them.",
        show_default=False,
    ),
]

Emphasis = Annotated[
    str | None,
    option(
        "Picture",
        "How (word:1.3) is meant: as A1111 does, without restoring the mean, or as plain text.",
        "--emphasis",
        choices=EMPHASES,
    ),
]
Steps = Annotated[
    int | None,
    option(
        "Picture",
        "How many steps the loop takes.",
        "--steps",
        metavar="N",
        default=f"{USUAL_STEPS}, or as many as are listed",
    ),
]
Timesteps = Annotated[
    str | None,
    option(
        "Scheduler",
        "The timestep of each step, as in 999,850,736; there are as many steps.",
        "--timesteps",
        metavar="T,T,…",
    ),
]
SigmasList = Annotated[
    str | None,
    option(
        "Scheduler",
        "The noise level of each step and then 0, as in 14.6,3.9,1.4,0.4,0.",
        "--sigmas-list",
        metavar="X,…,0",
    ),
]
LearningRate = Annotated[
    float | None,
    option(
        "Scheduler",
        "How far an optimiser steps, in shares of the noise. Default: its own.",
        "--learning-rate",
        metavar="X",
    ),
]
WeightDecay = Annotated[
    float | None,
    option(
        "Scheduler", "How hard it pulls the latents to 0 as well.", "--weight-decay", metavar="X"
    ),
]
StopNoise = Annotated[
    float | None,
    option(
        "Scheduler",
        "It stops where so little noise is left.",
        "--stop-noise",
        metavar="SIGMA",
        default=STOP_NOISE,
    ),
]
Prompt2 = Annotated[
    str | None,
    option(
        "SDXL only",
        "What the second text encoder reads. Default: the prompt.",
        "--prompt-2",
        metavar="TEXT",
    ),
]
ReplaceTokens = Annotated[
    list[str] | None,
    option(
        "Words",
        "Read something else in a word's place: puppy=cat, puppy=0.5*puppy+0.5*skunk or "
        "puppy=FILE; may be repeated.",
        "--replace-token",
        metavar="WORD=SUM",
    ),
]
Embeddings = Annotated[
    list[str] | None,
    option(
        "Words",
        "Learned vectors, and the word in the prompt that stands for them; may be repeated. "
        "Default: the word that the file names.",
        "--embedding",
        metavar="FILE[:TOKEN]",
    ),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class RecipeOptions:
    """What decides the pixels, model and seed apart."""

    negative_prompt: Annotated[
        str | None,
        option("Picture", "What it shall not show.", "--negative-prompt", "-n", metavar="TEXT"),
    ] = None
    emphasis: Emphasis = None
    variation_seed: Annotated[
        int | None,
        option(
            "Prompts and seeds",
            "Another seed, towards whose noise the first noise is turned.",
            "--variation-seed",
            metavar="N",
        ),
    ] = None
    variation_strength: Annotated[
        float | None,
        option("Prompts and seeds", "0 to 1: how far.", "--variation-strength", metavar="X"),
    ] = None
    steps: Steps = None
    guidance_scale: Annotated[
        float | None,
        option(
            "Picture",
            "How hard the prompt pulls; 1 is off and twice as fast. Default: the model's own.",
            *("--guidance-scale", "-g", "--cfg-scale", "--cfg", "--scale"),
            metavar="X",
        ),
    ] = None
    guidance_rescale: Annotated[
        float | None,
        option(
            "Picture",
            "0 to 1: give guided pictures their natural contrast back.",
            "--guidance-rescale",
            metavar="X",
        ),
    ] = None
    guidance: Annotated[
        str | None,
        option(
            "Guidance",
            f"Another formula: {', '.join(GUIDANCES)}; with numbers of its own as in "
            "apg:eta=0.2:norm=5.",
            "--guidance",
            metavar="NAME",
            choices=tuple(GUIDANCES),
        ),
    ] = None
    guidance_interval: Annotated[
        str | None,
        option(
            "Guidance",
            "Only where sigma is between these, as in 0.28..5.42; other steps are twice as fast.",
            "--guidance-interval",
            metavar="LOW..HIGH",
        ),
    ] = None
    guidance_schedule: Annotated[
        str | None,
        option(
            "Guidance",
            "A scale for each step: linear:1..9, cosine:9..1, a list as 1,3,7.5 that is stretched "
            "over them, or a file with one.",
            "--guidance-schedule",
            metavar="SCALES",
        ),
    ] = None
    pag_scale: Annotated[
        float | None,
        option(
            "Guidance",
            "Away from what the UNet predicts with self-attention that sees each place alone; "
            "one more run of it a step.",
            "--pag-scale",
            metavar="X",
        ),
    ] = None
    pag_layers: Annotated[
        str | None,
        option(
            "Guidance",
            "In these of its layers, as in mid,up_blocks.1. Default: mid.",
            "--pag-layers",
            metavar="NAMES",
        ),
    ] = None
    slg_scale: Annotated[
        float | None,
        option(
            "Guidance",
            "Away from what the UNet predicts with layers skipped; one more run of it a step.",
            "--slg-scale",
            metavar="X",
        ),
    ] = None
    slg_layers: Annotated[
        str | None,
        option("Guidance", "These, named as above. Default: mid.", "--slg-layers", metavar="NAMES"),
    ] = None
    width: Annotated[
        int | None,
        option("Picture", "In pixels. Default: the model's own.", "--width", "-W", metavar="N"),
    ] = None
    height: Annotated[
        int | None,
        option("Picture", "In pixels. Default: the model's own.", "--height", "-H", metavar="N"),
    ] = None
    size: Annotated[
        str | None,
        option("Picture", "Both at once, as in 512x768.", "--size", metavar="WxH"),
    ] = None
    tile: Annotated[
        int | None,
        option(
            "Picture",
            "See the picture through overlapping windows of this side in pixels; 0 is whole. "
            "Default: windows where an enlarged picture is much larger than the model's own.",
            "--tile",
            metavar="N",
        ),
    ] = None
    scheduler: Annotated[
        str | None,
        option(
            "Scheduler",
            'Such as euler, dpmpp-2m or "DPM++ 2M Karras", or an optimiser, such as adam. '
            "Default: the model's own.",
            *("--scheduler", "--sampler"),
            metavar="NAME",
            choices=tuple(SCHEDULERS),
        ),
    ] = None
    sigmas: Annotated[
        str | None,
        option(
            "Scheduler",
            f"How noise levels are spaced: {', '.join(SIGMAS)}, or {AYS}, Align Your Steps.",
            "--sigmas",
            metavar="NAME",
            choices=(*SIGMAS, AYS),
        ),
    ] = None
    timestep_spacing: Annotated[
        str | None,
        option(
            "Scheduler",
            f"How timesteps are spaced: {', '.join(SPACINGS)}.",
            "--timestep-spacing",
            metavar="NAME",
            choices=SPACINGS,
        ),
    ] = None
    eta: Annotated[
        float | None,
        option("Scheduler", "0 to 1: the noise that DDIM and TCD add back.", "--eta", metavar="X"),
    ] = None
    timesteps: Timesteps = None
    sigmas_list: SigmasList = None
    learning_rate: LearningRate = None
    weight_decay: WeightDecay = None
    stop_noise: StopNoise = None
    clip_skip: Annotated[
        int | None,
        option(
            "Scheduler",
            "2 reads the text encoder's last layer but one.",
            "--clip-skip",
            metavar="N",
        ),
    ] = None
    losses: Annotated[
        list[str] | None,
        option(
            "Steering",
            f"Pull the picture by a loss: {', '.join(NAMES)}, MODULE:FUNCTION; as in blue=200, "
            "palette=#112233,gold, like=FILE,ssim,mask=FILE:500 or my_losses:warmth=100; may be "
            "repeated.",
            "--loss",
            metavar="LOSS[=SCALE]",
        ),
    ] = None
    loss_every: Annotated[
        int | None,
        option("Steering", "In every N-th step.", "--loss-every", metavar="N", default=5),
    ] = None
    loss_mode: Annotated[
        str | None,
        option(
            "Steering",
            "Past the UNet, or back through it.",
            "--loss-mode",
            choices=LOSS_MODES,
            default="cheap",
        ),
    ] = None
    loss_clip: Annotated[
        str | None,
        option(
            "Steering",
            "The CLIP of clip=TEXT: a folder or a hub id. Default: the embedded one.",
            "--loss-clip",
            metavar="MODEL",
        ),
    ] = None
    embeddings: Embeddings = None
    replace_tokens: ReplaceTokens = None
    prompt_2: Prompt2 = None
    negative_prompt_2: Annotated[
        str | None,
        option(
            "SDXL only", "The same for the negative prompt.", "--negative-prompt-2", metavar="TEXT"
        ),
    ] = None
    original_size: Annotated[
        str | None,
        option(
            "SDXL only",
            "What the model is told the photo's size was.",
            "--original-size",
            metavar="WxH",
        ),
    ] = None
    crop_top_left: Annotated[
        str | None,
        option("SDXL only", "And where it was cropped.", "--crop-top-left", metavar="TOP,LEFT"),
    ] = None
    target_size: Annotated[
        str | None,
        option("SDXL only", "And what size it became.", "--target-size", metavar="WxH"),
    ] = None


Count = Annotated[
    int | None,
    option("Prompts and seeds", "As many pictures: seed, seed + 1 …", "--count", metavar="N"),
]


@dataclass(frozen=True, kw_only=True, slots=True)
class SeedOptions:
    """Which pictures of one Recipe, and which Recipes."""

    seed: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            "4, or 4,7,9, or 1..100. Default: a random one, which is told.",
            "--seed",
            metavar="SEEDS",
        ),
    ] = None
    count: Count = None
    from_file: Annotated[
        str | None,
        option(
            "Prompts and seeds",
            'One prompt a line, "-" for standard input: text, text with kohya\'s options '
            "(--n --w --h --s --d --l --t --f), or JSON as --dry-run prints it.",
            "--from-file",
            metavar="FILE",
        ),
    ] = None
    config: Annotated[
        str | None,
        option(
            "Prompts and seeds", "Settings in TOML; flags win.", "--config", metavar="FILE.toml"
        ),
    ] = None
