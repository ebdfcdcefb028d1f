"""Count the tokens and steps of a resolved Recipe; only the vocabulary is loaded."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from sdloop.models.checkpoint.embedding import find_embedding
from sdloop.prompt.chunks import bare_ids, chunks_of
from sdloop.prompt.compose import parts
from sdloop.prompt.learned.grammar import parse_embedding, parse_replacement
from sdloop.prompt.learned.tokenizer import WordTokenizer
from sdloop.prompt.schedule import alternatives
from sdloop.recipe.model_facts import Defaults
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_outpaint import passes_of

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint

Words = tuple[tuple[str, ...], tuple[str, ...]]


def steps_run(recipe: Recipe, model: Defaults) -> int:
    """The number of steps that are run, in all stages and passes of the picture."""
    steps, start = recipe.schedule
    if recipe.growth is not None:
        return (steps - start) * len(passes_of(recipe, model))
    return steps - start + (recipe.steps if recipe.hires is not None else 0)


def token_counter() -> "Callable[[Recipe, Checkpoint], int]":
    """A function that counts the first text encoder's tokens of a Recipe's prompt.

    Start, end and padding tokens do not count. A prompt that changes during the steps counts as its
    longest text, combined prompts as their sum. Vocabularies and learned words are read only once.
    """
    tokenizers: dict[tuple[object, ...], Any] = {}

    def tokenizer(checkpoint: "Checkpoint", words: Words) -> Any:
        from sdloop.models.checkpoint.tokenizer import load_tokenizer

        part = checkpoint.first_tokenizer
        found = checkpoint.tokenizers[part], checkpoint.family, checkpoint.max_tokens, words
        if found not in tokenizers:
            loaded = load_tokenizer(checkpoint, part)
            tokenizers[found] = WordTokenizer(loaded, word_counts(*words))
        return tokenizers[found]

    @lru_cache(maxsize=1000)
    def counted(text: str, emphasis: str, window: int, tokenize: Any) -> int:
        length = window - 2
        chunks = chunks_of(text, partial(bare_ids, tokenize), length=length, emphasis=emphasis)
        return sum(map(len, chunks))

    def count(recipe: Recipe, checkpoint: "Checkpoint") -> int:
        read = tokenizer(checkpoint, (recipe.embeddings or (), recipe.replace_tokens or ()))
        plain = recipe.emphasis == "none"
        total = 0
        for part, _ in ((recipe.prompt, 1.0),) if plain else parts(recipe.prompt):
            texts = [part] if plain else {text for _, text in alternatives(part, recipe.steps)}
            window = read.model_max_length
            total += max(counted(text, recipe.emphasis, window, read) for text in texts)
        return total

    return count


def word_counts(embeddings: Sequence[str], replace_tokens: Sequence[str]) -> dict[str, int]:
    """The number of vectors of each learned word; a replaced word has one."""
    learned = [parse_embedding(text) for text in embeddings]
    replaced = [parse_replacement(text) for text in replace_tokens]
    counts = {str(one.token): find_embedding(one.file).count for one in learned}
    return counts | {one.word: 1 for one in replaced}
