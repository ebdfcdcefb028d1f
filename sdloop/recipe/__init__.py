"""The Recipe: every setting that decides the pixels of one picture, and nothing else."""

from sdloop.recipe.check import MAX_SEED, MAX_STEPS, PROMPTS
from sdloop.recipe.learned import WORD_FIELDS
from sdloop.recipe.mix import MIX_FIELDS
from sdloop.recipe.resolve import facts_of
from sdloop.recipe.task import IMAGE_FIELDS, MASK_FIELDS
from sdloop.recipe.value import FIELDS, Recipe, check_keys

__all__ = [
    "FIELDS",
    "IMAGE_FIELDS",
    "MASK_FIELDS",
    "MAX_SEED",
    "MAX_STEPS",
    "MIX_FIELDS",
    "PROMPTS",
    "WORD_FIELDS",
    "Recipe",
    "check_keys",
    "facts_of",
]
