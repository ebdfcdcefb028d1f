"""The Recipe: every setting that decides the pixels of one picture, and nothing else."""

from sdloop.recipe.check import ENLARGES, MAX_SEED, MAX_STEPS, PROMPTS
from sdloop.recipe.enlarge import stages
from sdloop.recipe.resolve import facts_of
from sdloop.recipe.task import DEFAULT_NOISE_LEVEL, IMAGE_FIELDS, MASK_FIELDS
from sdloop.recipe.value import FIELDS, Recipe, check_keys

__all__ = [
    "DEFAULT_NOISE_LEVEL",
    "ENLARGES",
    "FIELDS",
    "IMAGE_FIELDS",
    "MASK_FIELDS",
    "MAX_SEED",
    "MAX_STEPS",
    "PROMPTS",
    "Recipe",
    "check_keys",
    "facts_of",
    "stages",
]
