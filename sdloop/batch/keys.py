"""The content keys of planned pictures, and the hashes of the weights that are part of them."""

from collections.abc import Mapping

from sdloop.batch.planned import Planned
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.model_names import model_of
from sdloop.recipe.key import content_key


class Keys:
    """Each model's files are hashed once; see ``content_key`` for what decides a key."""

    def __init__(self) -> None:
        self._weights: dict[ModelNames, Mapping[str, str]] = {}

    def weights(self, planned: Planned) -> Mapping[str, str]:
        """The sha256 of each file of its model."""
        names = model_of(planned.recipe)
        if names not in self._weights:
            self._weights[names] = model_hashes(planned.checkpoint)
        return self._weights[names]

    def __call__(self, planned: Planned) -> str:
        if planned.key is not None:
            return planned.key
        return content_key(planned.recipe, self.weights(planned))
