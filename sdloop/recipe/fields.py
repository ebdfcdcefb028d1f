"""The table of settings: one row for each setting of a Recipe.

The checks, the flags, ``--sweep``, settings files, the command line that the web page shows and
the reference in the docs are all made from these rows. To add a setting, add a row in one of the
files ``fields_*.py``, a field of ``Recipe`` with the same name, and the code that uses it.
"""

from collections.abc import Mapping
from functools import partial
from typing import Any

from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.recipe.controls import Control, T2IAdapter, parse_control
from sdloop.recipe.field import Field, section
from sdloop.recipe.fields_image import ENLARGE, GROWTH, MASK, START
from sdloop.recipe.fields_picture import (
    GUIDANCE,
    MIXTURE,
    MODEL,
    PICTURE,
    REFINER,
    SCHEDULER,
    SDXL,
    SEEDS,
)
from sdloop.recipe.image_prompts import parse_image_prompt
from sdloop.recipe.kinds import Compound, File, Flag, Hash, Number, Several, Text, Whole
from sdloop.recipe.limits import (
    DEPTH_MODEL,
    IP_ADAPTER,
    LOSS_EVERY,
    LOSS_MODES,
    MAX_STEPS,
    POSE_MODEL,
    REGION_ALONE,
)
from sdloop.recipe.loss_grammar import NAMES, parse_loss
from sdloop.recipe.preprocess import PREPROCESSES, check_preprocess
from sdloop.recipe.presets import PRESET_FIELDS, PRESETS, parse_preset
from sdloop.recipe.regions import parse_region

# fmt: off
WORDS = section("Words", {
    "embeddings": Field(Several(Text(read=parse_embedding)),
        "Learned embedding, and its word in the prompt. May be repeated. Default: the word that "
        "the file names.",
        flag="--embedding", metavar="FILE[:TOKEN]", per_picture=True,
        replaces=("embeddings_sha256",)),
    "embeddings_sha256": Field(Several(Hash()), essential=True, per_picture=True),
    "replace_tokens": Field(Several(Text(read=parse_replacement)),
        "Let a word mean something else. puppy=cat, puppy=0.5*puppy+0.5*skunk or puppy=FILE. "
        "May be repeated.",
        flag="--replace-token", metavar="WORD=SUM", per_picture=True,
        replaces=("replace_tokens_sha256",)),
    "replace_tokens_sha256": Field(Several(Hash()), essential=True, per_picture=True),
}, for_all=False)

REGIONS = section("Regions", {
    "regions": Field(Several(Text(read=parse_region)),
        'A prompt for a part of the picture: "a red frog=mask.png", where the mask is white, or a '
        'box of left, top, width and height in shares of the picture, "a red frog=0,0,0.5,1". A '
        "weight of 0 to 1 may follow, as in mask.png:0.7. May be repeated; the rest is PROMPT's.",
        flag="--region", metavar="PROMPT=WHERE[:WEIGHT]", essential=True, keyed=False,
        per_picture=True, replaces=("regions_sha256",)),
    "regions_sha256": Field(Several(Hash()), essential=True, keyed=False, per_picture=True),
    "region_alone": Field(Number(0, 1),
        "Share of the steps, from the first, in which a region's prompt sees nothing of the rest "
        "of the picture. A high share keeps subjects apart, a low one makes them fit together.",
        metavar="X", usual=REGION_ALONE, keyed=False),
}, for_all=False)

_LOSS_DETAILS = ("losses_sha256", "loss_every", "loss_mode", "loss_clip", "loss_clip_sha256")
LOSSES = section("Losses", {
    "losses": Field(Several(Text(read=parse_loss)),
        f"Guide the picture by a loss: {', '.join(NAMES)} or MODULE:FUNCTION, as in blue=200, "
        "palette=#112233,gold, like=FILE,ssim,mask=FILE:500 or my_losses:warmth=100. May be "
        "repeated.",
        flag="--loss", metavar="LOSS[=SCALE]", keyed=False, replaces=_LOSS_DETAILS),
    "losses_sha256": Field(Several(Hash()), essential=True, keyed=False),
    "loss_every": Field(Whole(1, MAX_STEPS), "Apply the losses in every N-th step only.",
        metavar="N", usual=LOSS_EVERY, keyed=False),
    "loss_mode": Field(Text(LOSS_MODES),
        "How gradients are computed: cheap leaves out the UNet, exact goes back through it.",
        usual="cheap", keyed=False),
    "loss_clip": Field(Text(),
        "CLIP model for clip=TEXT: a folder or a hub id. Default: the embedded one.",
        metavar="MODEL", keyed=False),
    "loss_clip_sha256": Field(Hash(), essential=True, keyed=False),
}, for_all=False)

CONTROL = section("Control", {
    "controls": Field(Compound(Control, parse_control, "canny=edges.png"),
        "Follow a picture of edges, depths or a pose with a ControlNet. MODEL is a folder, a file "
        "or a hub id, as in canny/=edges.png:0.8; the embedded model has its own, called edges. "
        "The share of the steps in which it acts may be last, as in edges.png:0.8:0..0.5. A "
        "ControlNet-Union is told what the picture is, as in union#depth=map.png. May be repeated.",
        default=(), flag="--control", metavar="MODEL=IMAGE[:SCALE]", essential=True, keyed=False,
        per_picture=True),
    "guess_mode": Field(Flag(),
        "Let the ControlNets guess what the picture shows: they act on the prompt's prediction "
        "only, and most on the deepest layers. Works best with a guidance scale of 3 to 5.",
        default=False),
    "t2i_adapters": Field(Compound(
            T2IAdapter, partial(parse_control, kind=T2IAdapter), "canny=edges.png"),
        "The same with a T2I-Adapter, which is smaller and runs only once. May be repeated.",
        default=(), flag="--t2i", metavar="MODEL=IMAGE[:SCALE]", essential=True, keyed=False,
        per_picture=True),
    "preprocess": Field(Text(read=check_preprocess, likely=PREPROCESSES),
        f"Make the map to follow of each picture: {', '.join(PREPROCESSES)}. For one of several, "
        "write it before the picture, as in canny/=canny:photo.png.",
        metavar="KIND", essential=True, keyed=False, per_picture=True),
    "preprocess_model": Field(Text(),
        "Model that finds depths (DPT, Depth Anything) or a pose (VitPose): a folder or a hub id. "
        f"The usual one for a pose is {POSE_MODEL}.",
        metavar="MODEL", usual=DEPTH_MODEL, keyed=False, replaces=("preprocess_model_sha256",)),
    "preprocess_model_sha256": Field(Hash(), essential=True, keyed=False),
    "image_prompts": Field(Several(Text(read=parse_image_prompt)),
        "Show the model a picture beside the prompt, with --ip-adapter, as in frog.png:0.6. It "
        "may count in a part only: frog.png=mask.png:0.6, where the mask is white, or in a box of "
        "left, top, width and height in shares of the picture, frog.png=0,0,0.5,1. May be "
        "repeated, also with another adapter: plus.safetensors=frog.png:0.6.",
        flag="--image-prompt", metavar="[ADAPTER=]IMAGE[=WHERE][:SCALE]", essential=True,
        keyed=False, per_picture=True, replaces=("image_prompts_sha256",)),
    "image_prompts_sha256": Field(Several(Hash()), essential=True, keyed=False, per_picture=True),
    "ip_adapter": Field(File(),
        f"IP-Adapter for the image prompts: a file, or a file of the hub, as in {IP_ADAPTER}.",
        metavar="FILE", keyed=False, per_picture=True,
        replaces=("ip_adapter_sha256", "image_encoder_sha256")),
    "ip_adapter_sha256": Field(Hash(), keyed=False, per_picture=True),
    "image_encoder": Field(File(),
        "Image encoder of the IP-Adapter: a folder or a hub id. Default: the one beside it.",
        metavar="MODEL", keyed=False, per_picture=True, replaces=("image_encoder_sha256",)),
    "image_encoder_sha256": Field(Hash(), keyed=False, per_picture=True),
}, for_all=False)

# Not a field of the Recipe: it stands for several of them, see ``presets``.
PRESET = section("Picture", {
    "preset": Field(Text(read=parse_preset, likely=tuple(PRESETS)),
        f"For few steps: {', '.join(PRESETS)}. Sets steps, guidance and scheduler for such models "
        "and LoRAs; a number of steps may follow, as in lightning:8. Other flags win over it.",
        metavar="NAME[:STEPS]", common=True, replaces=PRESET_FIELDS),
})
# fmt: on

ROWS: Mapping[str, Field] = {
    **(PICTURE | SEEDS | MODEL | GUIDANCE | SCHEDULER | SDXL | REFINER | WORDS | REGIONS),
    **(LOSSES | MIXTURE),
    **(CONTROL | START | MASK | GROWTH | ENLARGE),
}

# All that people may set: the fields of a Recipe, and presets.
SETTINGS: Mapping[str, Field] = {**ROWS, **PRESET}

# Other names of settings, from their flags: "cfg" is guidance_scale, "lora" is loras.
ALIASES: Mapping[str, str] = {
    flag.removeprefix("--").replace("-", "_"): name
    for name, row in SETTINGS.items()
    for flag in (row.flag, *row.aliases)
    if flag.startswith("--") and flag != f"--{name.replace('_', '-')}"
}


def parse_value(name: str, text: str) -> Any:
    """Parse ``text`` as a value of the setting ``name``; the Recipe checks its range.

    >>> parse_value("steps", "30"), parse_value("crop_top_left", "0,64")
    (30, (0, 64))
    """
    return SETTINGS[name].kind.parsed(name, text)
