"""The rows of the settings of pictures that are made from another, or made larger."""

from sdloop.images.input.frame import BACK, RESIZES
from sdloop.recipe.field import Field, section
from sdloop.recipe.kinds import Colour, File, Flag, Hash, Number, Text, Whole
from sdloop.recipe.limits import DEFAULT_NOISE_LEVEL, ENLARGES, MAX_STEPS
from sdloop.recipe.strength import DEFAULT_STRENGTH
from sdloop.rules import MAX_SIDE

# fmt: off
START = section("Start", {
    "image": Field(File(), keyed=False, essential=True, for_all=False, per_picture=True,
        replaces=("image_sha256",)),
    "image_sha256": Field(Hash(), essential=True, for_all=False, per_picture=True),
    "strength": Field(Number(0, 1),
        "0 to 1: how much is made anew; 1 leaves next to nothing of the picture. Of --steps it "
        "runs as many.", metavar="X", usual=DEFAULT_STRENGTH,
        common=True, keyed=False, essential=True, for_all=False, replaces=("start_step",)),
    "exact_steps": Field(Flag(), "Run all of --steps within the strength.", default=False,
        keyed=False, for_all=False, replaces=("start_step",)),
    "start_step": Field(Whole(0, MAX_STEPS - 1),
        "In place of a strength: the first of --steps to run, counted from 0.", metavar="N",
        essential=True, for_all=False, replaces=("strength", "exact_steps")),
    "resize": Field(Text((*RESIZES, BACK), likely=RESIZES),
        "How the picture gets the size: fit keeps its proportions, at the model's own area or "
        "within --size; crop fills the size; pad shows it whole; stretch distorts it. "
        "Default: fit, and crop where both sides are given.",
        for_all=False),
    "background": Field(Colour(),
        "The colour behind what is transparent, and around what is padded.",
        metavar="COLOUR", usual="white", for_all=False),
})

MASK = section("Mask", {
    "mask": Field(File(),
        "A picture that is white where is painted, black where nothing changes, and grey where "
        'it does in part; or "alpha": where the picture itself is transparent.', metavar="MASK",
        common=True, keyed=False, essential=True, for_all=False, per_picture=True,
        replaces=("mask_sha256",)),
    "mask_sha256": Field(Hash(), essential=True, for_all=False, per_picture=True),
    "mask_blur": Field(Number(0, 1e3), "Soften its edge by this many pixels.", metavar="X",
        for_all=False),
    "invert_mask": Field(Flag(), "Paint where it is black.", default=False, for_all=False),
    "mask_margin": Field(Whole(0, MAX_SIDE),
        "Look at this many pixels around the mask, enlarged, and not at the whole picture: for "
        "what is small in it.", metavar="N", for_all=False),
    "no_keep": Field(Flag(),
        "Save the decoded picture as it is, at the size of the loop, without the original's "
        "pixels laid over what is not painted.", default=False, for_all=False),
})

GROWTH = section("Growth", {
    "left": Field(Whole(1, MAX_SIDE), "Add this many pixels there.", metavar="N",
        common=True, essential=True, for_all=False),
    "right": Field(Whole(1, MAX_SIDE), "And there.", metavar="N",
        common=True, essential=True, for_all=False),
    "up": Field(Whole(1, MAX_SIDE), "And above.", metavar="N",
        common=True, essential=True, for_all=False),
    "down": Field(Whole(1, MAX_SIDE), "And below.", metavar="N",
        common=True, essential=True, for_all=False),
    "overlap": Field(Whole(1, MAX_SIDE), "How much of what is there each pass sees beside what it "
        "adds.", metavar="N", usual="half of the model's size", for_all=False),
})

ENLARGE = section("Enlarge", {
    "factor": Field(Number(1, 16), "How many times larger.", metavar="X",
        usual="2, or what an upscaler does",
        common=True, keyed=False, essential=True, for_all=False, replaces=("width", "height")),
    "hires": Field(Number(1, 16),
        "Make the picture, then make it this many times larger, from a partial strength.",
        metavar="X", common=True, essential=True, for_all=False),
    "enlarge": Field(Text(ENLARGES),
        "What is enlarged: the pixels, by Lanczos' filter, or the latents, which blurs and wants "
        "more strength.", usual="lanczos", for_all=False),
    "noise_level": Field(Whole(0, 999),
        "For upscalers: how much noise is put on the small picture, from 0; more of it lets more "
        "be made up.", metavar="N", usual=DEFAULT_NOISE_LEVEL, for_all=False),
})
