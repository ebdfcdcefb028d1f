"""Find the pictures of a command that need the most memory, without torch."""

from collections.abc import Callable, Hashable, Iterable
from math import prod
from typing import TypeVar

from sdloop.pipeline.model_names import model_of
from sdloop.recipe.loss_grammar import parse_loss
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_image_prompts import shown_in

T = TypeVar("T")


def most_demanding(several: Iterable[T], recipe_of: Callable[[T], Recipe]) -> list[T]:
    """Those with the largest picture, of each kind that loads or computes something else."""

    def pixels(one: T) -> int:
        return prod(recipe_of(one).final_size)

    found: dict[Hashable, T] = {}
    for one in several:
        recipe = recipe_of(one)
        kind = model_of(recipe), needing(recipe)
        found[kind] = max(found.get(kind, one), one, key=pixels)
    return list(found.values())


def needing(recipe: Recipe) -> tuple[object, ...]:
    """What decides how much memory a run needs, beside its model and the size of its picture."""
    return (
        recipe.guided,
        recipe.tile,
        recipe.loss_mode if has_losses(recipe) else None,
        tuple(one.name for one in recipe.loras),
        tuple((one.field, one.model) for one in recipe.followed),
        (recipe.ip_adapter, recipe.image_encoder),
        tuple(one.prompt.placed for one in shown_in(recipe)),
    )


def has_losses(recipe: Recipe) -> bool:
    """Whether any gradient is computed."""
    return any(parse_loss(text).scale for text in recipe.losses or ())
