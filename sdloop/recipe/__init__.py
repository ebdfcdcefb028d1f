"""The Recipe: every setting that decides the pixels of one picture, and nothing else."""

from sdloop.recipe.check import ENLARGES, MAX_SEED, MAX_STEPS, PROMPTS
from sdloop.recipe.enlarge import stages
from sdloop.recipe.guidance import GUIDANCES, guidance_scales, parse_guidance
from sdloop.recipe.learned import WORD_FIELDS
from sdloop.recipe.loras import Lora, checked_loras, parse_lora, split_tags
from sdloop.recipe.mix import MIX_FIELDS
from sdloop.recipe.resolve import facts_of
from sdloop.recipe.task import DEFAULT_NOISE_LEVEL, IMAGE_FIELDS, MASK_FIELDS
from sdloop.recipe.value import FIELDS, Recipe, check_keys

__all__ = [
    "DEFAULT_NOISE_LEVEL",
    "ENLARGES",
    "FIELDS",
    "GUIDANCES",
    "IMAGE_FIELDS",
    "MASK_FIELDS",
    "MAX_SEED",
    "MAX_STEPS",
    "MIX_FIELDS",
    "PROMPTS",
    "WORD_FIELDS",
    "Lora",
    "Recipe",
    "check_keys",
    "checked_loras",
    "facts_of",
    "guidance_scales",
    "parse_guidance",
    "parse_lora",
    "split_tags",
    "stages",
]
