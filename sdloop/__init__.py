"""sdloop: pictures from text, with a sampling loop that one can read in one sitting.

>>> import sdloop
>>> picture = sdloop.generate("frogs on stilts", seed=4, steps=2)  # the embedded model
>>> picture.recipe.seed, picture.recipe.model
(4, 'mini')

``picture.save("frogs.png")`` writes it with the settings that made it, ``sdloop.read`` gives both
back. For many pictures load a model and write Recipes: ``sdloop.generate(components, recipes)``.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdloop.errors import (
        BatchError,
        FileError,
        ModelError,
        NonFiniteError,
        OutOfMemory,
        PromptError,
        SamplingError,
        SdloopError,
        SettingError,
    )
    from sdloop.loop import Step, denoise
    from sdloop.metadata.read import SavedPicture, read
    from sdloop.models.components.load import Components, load_components
    from sdloop.pipeline.generate import generate, stream
    from sdloop.pipeline.picture import Picture
    from sdloop.recipe.recipe import Recipe

__all__ = [
    "BatchError",
    "Components",
    "FileError",
    "ModelError",
    "NonFiniteError",
    "OutOfMemory",
    "Picture",
    "PromptError",
    "Recipe",
    "SamplingError",
    "SavedPicture",
    "SdloopError",
    "SettingError",
    "Step",
    "denoise",
    "generate",
    "load_components",
    "read",
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
    "SavedPicture": "metadata.read",
    "read": "metadata.read",
    "Recipe": "recipe.recipe",
}


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: torch takes seconds, ``--help`` must not."""
    if name not in __all__:
        raise AttributeError(f"module 'sdloop' has no attribute {name!r}")
    home = _HOMES.get(name, "errors")
    value = getattr(importlib.import_module(f"sdloop.{home}"), name)
    globals()[name] = value
    return value
