"""Table rows: the settings of img2img, inpaint, outpaint and upscale."""

from sdloop.images.input.frame import BACK, RESIZES
from sdloop.recipe.field import Field, section
from sdloop.recipe.kinds import Colour, File, Flag, Hash, Number, Text, Whole
from sdloop.recipe.limits import (
    DEFAULT_NOISE_LEVEL,
    ENLARGES,
    IMAGE_GUIDANCE_SCALE,
    MASK_MODEL,
    MASK_THRESHOLD,
    MAX_STEPS,
)
from sdloop.recipe.strength import DEFAULT_STRENGTH
from sdloop.rules import MAX_SIDE

# fmt: off
START = section("Start", {
    "image": Field(File(),
        essential=True, keyed=False, per_picture=True, replaces=("image_sha256",)),
    "image_sha256": Field(Hash(), essential=True, per_picture=True),
    "strength": Field(Number(0, 1),
        "How much of the picture is made anew, 0 to 1. 1 keeps almost nothing of it. Only this "
        "share of --steps is run.",
        metavar="X", usual=f"{DEFAULT_STRENGTH}, or 1 with a mask", common=True, essential=True,
        keyed=False, replaces=("start_step",)),
    "exact_steps": Field(Flag(), "Run exactly --steps steps, whatever the strength is.",
        default=False, keyed=False, replaces=("start_step",)),
    "start_step": Field(Whole(0, MAX_STEPS - 1),
        "First of --steps to run, counted from 0. Replaces --strength.",
        metavar="N", essential=True, replaces=("strength", "exact_steps")),
    "resize": Field(Text((*RESIZES, BACK), likely=RESIZES),
        "How the picture gets its new size. fit: keep its proportions, within --size or at the "
        "model's own area. crop: fill the size and cut off the rest. pad: show all of it on a "
        "background. stretch: distort it. Default: fit, or crop if both sides are given."),
    "background": Field(Colour(), "Colour behind transparent parts and around a padded picture.",
        metavar="COLOUR", usual="white"),
    "depth_map": Field(File(),
        "For depth models: a picture of the depths, from black (far) to white (near). Default: the "
        "model estimates them.",
        metavar="IMAGE", essential=True, keyed=False, per_picture=True,
        replaces=("depth_map_sha256",)),
    "depth_map_sha256": Field(Hash(), essential=True, per_picture=True),
    "image_guidance_scale": Field(Number(1, 1e4),
        "For InstructPix2Pix models: how closely the result keeps to the picture.",
        metavar="X", usual=IMAGE_GUIDANCE_SCALE),
}, for_all=False)

MASK = section("Mask", {
    "mask": Field(File(),
        "Picture that shows where to paint: white is painted, black is kept, grey is a blend. "
        '"alpha" paints where the picture itself is transparent, and "text:the face" what these '
        "words mean in the picture.",
        metavar="MASK", essential=True, keyed=False, per_picture=True, replaces=("mask_sha256",)),
    "mask_sha256": Field(Hash(), essential=True, per_picture=True),
    "mask_model": Field(Text(),
        "CLIPSeg model that finds the words of a mask: a folder or a hub id.",
        metavar="MODEL", usual=MASK_MODEL, keyed=False, replaces=("mask_model_sha256",)),
    "mask_model_sha256": Field(Hash(), essential=True),
    "mask_threshold": Field(Number(0, 1),
        "How sure CLIPSeg must be of a pixel, 0 to 1. A lower value finds more of what the words "
        "of a mask mean.",
        metavar="X", usual=MASK_THRESHOLD),
    "mask_grow": Field(Whole(-MAX_SIDE, MAX_SIDE),
        "Enlarge what is painted by N pixels. Before --mask-blur, and on all sides; a negative "
        "number makes it smaller.",
        metavar="N"),
    "mask_blur": Field(Number(0, 1e3), "Soften the edge of the mask by this many pixels.",
        metavar="X"),
    "invert_mask": Field(Flag(), "Paint where the mask is black, not where it is white.",
        default=False),
    "mask_margin": Field(Whole(0, MAX_SIDE),
        "Work only on the mask and N pixels around it. This part is enlarged to the model's size, "
        "which helps with small details.",
        metavar="N"),
    "no_keep": Field(Flag(),
        "Save the decoded picture as it is, at the size of the loop. Without this flag, the "
        "original pixels are put back where nothing is painted.",
        default=False),
}, for_all=False)

GROWTH = section("Growth", {
    "left": Field(Whole(1, MAX_SIDE), "Pixels to add on the left.", metavar="N", essential=True),
    "right": Field(Whole(1, MAX_SIDE), "Pixels to add on the right.", metavar="N", essential=True),
    "up": Field(Whole(1, MAX_SIDE), "Pixels to add at the top.", metavar="N", essential=True),
    "down": Field(Whole(1, MAX_SIDE), "Pixels to add at the bottom.", metavar="N", essential=True),
    "overlap": Field(Whole(1, MAX_SIDE),
        "How many pixels of the existing picture each pass sees next to the new part.",
        metavar="N", usual="half of the model's size"),
}, for_all=False)

ENLARGE = section("Enlarge", {
    "factor": Field(Number(1, 16), "How many times larger to make the picture.",
        metavar="X", usual="2, or what an upscaler does", essential=True, keyed=False,
        replaces=("width", "height")),
    "hires": Field(Number(1, 16),
        "Enlarge the finished picture by this factor. It is then refined with --strength.",
        metavar="X", essential=True),
    "enlarge": Field(Text(ENLARGES),
        "What is enlarged: the pixels (lanczos), or the latents (latent), which blurs more and "
        "needs a higher strength.",
        usual="lanczos"),
    "upscaler": Field(File(),
        "Enlarge the pixels with an upscaler (ESRGAN and others), a .pth or .safetensors file. "
        "Needs the extra upscalers.",
        metavar="FILE", essential=True, keyed=False, replaces=("upscaler_sha256",)),
    "upscaler_sha256": Field(Hash(), essential=True),
    "noise_level": Field(Whole(0, 999),
        "For upscaler models: how much noise to add to the small picture, from 0. More noise lets "
        "the model invent more.",
        metavar="N", usual=DEFAULT_NOISE_LEVEL),
}, for_all=False)
