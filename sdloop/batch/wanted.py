"""One picture that was asked for, before its model is known."""

from dataclasses import dataclass

from sdloop.recipe.recipe import Recipe


@dataclass(frozen=True, kw_only=True, slots=True)
class Wanted:
    """One picture that was asked for; ``where`` and ``output`` as its ``Prompt`` has them.

    ``name`` is a template for its file where nobody names it, and ``file`` the picture that it is
    made after, if it is.
    """

    recipe: Recipe
    where: str = ""
    output: str | None = None
    name: str | None = None
    file: str | None = None
