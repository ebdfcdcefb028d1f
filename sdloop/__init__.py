"""sdloop: pictures from text, with a sampling loop that one can read in one sitting.

>>> import sdloop
>>> components = sdloop.load_components()  # the embedded model
>>> recipe = sdloop.Recipe(prompt="frogs on stilts", seed=4, steps=2)
>>> sdloop.generate(components, recipe)[0].image.size == components.native_size
True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdloop.loop import Step, denoise
    from sdloop.models.components.load import Components, load_components
    from sdloop.pipeline.generate import generate, stream
    from sdloop.pipeline.picture import Picture
    from sdloop.recipe.recipe import Recipe

__all__ = [
    "Components",
    "Picture",
    "Recipe",
    "Step",
    "denoise",
    "generate",
    "load_components",
    "stream",
]

_HOMES = {
    "Components": "models.components.load",
    "load_components": "models.components.load",
    "Picture": "pipeline.picture",
    "generate": "pipeline.generate",
    "stream": "pipeline.generate",
    "Step": "loop",
    "denoise": "loop",
    "Recipe": "recipe.recipe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch takes seconds, ``--help`` must not."""
    if name not in _HOMES:
        raise AttributeError(f"module 'sdloop' has no attribute {name!r}")
    value = getattr(importlib.import_module(f"sdloop.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
