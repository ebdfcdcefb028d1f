"""A model with all that Recipes may ask of it: LoRAs, words with other meanings, read prompts."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial

from sdloop.conditioning.encode import Encode, encode_prompt
from sdloop.conditioning.words import Words, with_words
from sdloop.images.input.read import OpenImage
from sdloop.models.checkpoint.clip import clip_hashes
from sdloop.models.checkpoint.lora import FindLora, find_lora
from sdloop.models.components.adapters import adapted
from sdloop.models.components.load import Components
from sdloop.recipe.loras import Lora
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import facts_of, resolve

Encoder = Callable[[Words], Encode]

# As many prompts can come back within a window of a batch's plan: ``batch.grouping.WINDOW``
# pictures, of two shapes at least. Of SDXL they take 160 MB in half precision.
_TEXTS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class Kit:
    """What pictures are made with; see ``kit_of``.

    ``prepare`` gives the components with the adapters of these LoRAs in them, and what encodes
    prompts for each set of words. ``components`` are those of the model alone.
    """

    components: Components
    find_lora: FindLora
    prepare: Callable[[tuple[Lora, ...]], tuple[Components, Encoder]]

    def resolved(self, recipe: Recipe, open_image: OpenImage) -> Recipe:
        """``recipe`` with the choices of the model, its picture, LoRAs and CLIP written in.

        Raises what ``resolve`` does.
        """
        hashes = {lora.name: self.find_lora(lora.name).sha256 for lora in recipe.loras}
        hashes |= clip_hashes(recipe)
        facts = facts_of(recipe, open_image)
        return resolve(recipe, self.components, facts, lora_hashes=hashes)


def kit_of(components: Components) -> Kit:
    """A Kit that keeps the last few adapters, for Recipes that take turns, and encoded prompts.

    Equal texts are encoded once, however many pictures they are for; of a LoRA only its own
    weights are kept.
    """
    found = lru_cache(maxsize=64)(find_lora)

    @lru_cache(maxsize=4)
    def prepare(loras: tuple[Lora, ...]) -> tuple[Components, Encoder]:
        wanted = adapted(components, [(found(lora.name), lora.scale) for lora in loras])

        @lru_cache(maxsize=8)
        def encoder(words: Words) -> Encode:
            return lru_cache(maxsize=_TEXTS)(partial(encode_prompt, with_words(wanted, words)))

        return wanted, encoder

    return Kit(components=components, find_lora=found, prepare=prepare)
