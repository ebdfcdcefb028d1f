"""The Recipe: every setting that decides the pixels of one picture, and nothing else."""

from sdloop.recipe.check import ENLARGES, MAX_SEED, PROMPTS, check_alone
from sdloop.recipe.enlarge import stages
from sdloop.recipe.guidance import GUIDANCES, guidance_scales, parse_guidance
from sdloop.recipe.learned import WORD_FIELDS
from sdloop.recipe.loras import Lora, checked_loras, parse_lora, split_tags
from sdloop.recipe.mix import MIX_FIELDS
from sdloop.recipe.resolve import facts_of
from sdloop.recipe.steering import GUIDE_FIELDS, GUIDE_MODES, clip_of
from sdloop.recipe.steps import LISTED_STEPS, MAX_STEPS, STOP_NOISE, USUAL_STEPS
from sdloop.recipe.task import DEFAULT_NOISE_LEVEL, IMAGE_FIELDS, MASK_FIELDS
from sdloop.recipe.texts import (
    parse_flag,
    parse_number,
    parse_numbers,
    parse_pair,
    parse_value,
    parse_whole,
)
from sdloop.recipe.value import FIELDS, Recipe, check_keys

__all__ = [
    "DEFAULT_NOISE_LEVEL",
    "ENLARGES",
    "FIELDS",
    "GUIDANCES",
    "GUIDE_FIELDS",
    "GUIDE_MODES",
    "IMAGE_FIELDS",
    "LISTED_STEPS",
    "MASK_FIELDS",
    "MAX_SEED",
    "MAX_STEPS",
    "MIX_FIELDS",
    "PROMPTS",
    "STOP_NOISE",
    "USUAL_STEPS",
    "WORD_FIELDS",
    "Lora",
    "Recipe",
    "check_alone",
    "check_keys",
    "checked_loras",
    "clip_of",
    "facts_of",
    "guidance_scales",
    "parse_flag",
    "parse_guidance",
    "parse_lora",
    "parse_number",
    "parse_numbers",
    "parse_pair",
    "parse_value",
    "parse_whole",
    "split_tags",
    "stages",
]
