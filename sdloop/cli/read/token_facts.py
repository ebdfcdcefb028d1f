"""The tokens of a Recipe's prompt, as the text encoders see them; only the vocabulary is read."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from sdloop.batch.counts import word_counts
from sdloop.prompt.chunks import Chunk, Token, bare_ids, chunks_of, spans_of
from sdloop.prompt.compose import parts
from sdloop.prompt.emphasis import BREAK
from sdloop.prompt.learned.places import places
from sdloop.prompt.learned.tokenizer import WordTokenizer
from sdloop.prompt.schedule import Alternatives, alternatives, unseen
from sdloop.recipe.recipe import Recipe

if TYPE_CHECKING:
    from sdloop.models.checkpoint.value import Checkpoint

_WORD_END = "</w>"


@dataclass(frozen=True, kw_only=True, slots=True)
class TokenFacts:
    """One token: its place in the encoder's window, its id, its vocabulary entry and its text."""

    position: int
    id: int
    token: str
    text: str
    weight: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ChunkFacts:
    """A chunk that an encoder reads at once, with start and end tokens; ``padding`` is a count."""

    tokens: tuple[TokenFacts, ...]
    padding: int


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedText:
    """An encoded text, with the weight of its prediction.

    ``steps`` are the first and the last step of each range that uses the text, from 1. ``encoders``
    are its chunks for each text encoder. ``unknown`` are the words that the model does not know,
    and ``cut`` are the words of its prompt that no step uses.
    """

    text: str
    weight: float
    steps: tuple[tuple[int, int], ...]
    encoders: Mapping[str, tuple[ChunkFacts, ...]]
    unknown: tuple[str, ...]
    cut: tuple[str, ...]


def encoded_texts(recipe: Recipe, checkpoint: "Checkpoint") -> Iterator[EncodedText]:
    """All texts of a resolved Recipe's prompt, in order."""
    from sdloop.models.checkpoint.tokenizer import load_tokenizer
    from sdloop.models.checkpoint.words import unknown_words

    plain = recipe.emphasis == "none"
    counts = word_counts(recipe.embeddings or (), recipe.replace_tokens or ())
    tokenizers = {
        part: WordTokenizer(load_tokenizer(checkpoint, part), counts)
        for part in checkpoint.tokenizers
    }
    for part, weight in ((recipe.prompt, 1.0),) if plain else parts(recipe.prompt):
        read = [part] if recipe.prompt_2 is None else [part, recipe.prompt_2]
        cut = () if plain else tuple(word for one in read for word in unseen(one, recipe.steps))
        changes = [
            ((recipe.steps, one),) if plain else alternatives(one, recipe.steps) for one in read
        ]
        for texts, steps in _stretches(changes).items():
            spans = [span for one in texts for span in spans_of(one, recipe.emphasis)]
            yield EncodedText(
                text=texts[0],
                weight=weight,
                steps=tuple(steps),
                encoders=_encoders(texts, recipe.emphasis, tokenizers),
                unknown=unknown_words(
                    checkpoint,
                    " ".join(_old(span.text, counts) for span in spans if span is not BREAK),
                ),
                cut=cut,
            )


def _old(text: str, counts: Mapping[str, int]) -> str:
    """``text`` without its embeddings' words."""
    return " ".join(piece for piece, word in places(text, counts) if word is None)


def _stretches(changes: Sequence[Alternatives]) -> dict[tuple[str, ...], list[tuple[int, int]]]:
    """The texts that are encoded together, each with its ranges of steps."""
    found: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    first = 1
    for last in sorted({end for change in changes for end, _ in change}):
        texts = tuple(next(text for end, text in change if last <= end) for change in changes)
        found.setdefault(texts, []).append((first, last))
        first = last + 1
    return found


def _encoders(
    texts: Sequence[str], emphasis: str, tokenizers: Mapping[str, Any]
) -> dict[str, tuple[ChunkFacts, ...]]:
    """The chunks for each text encoder; SDXL's second encoder reads the last of ``texts``."""
    found = {}
    for part, tokenizer in tokenizers.items():
        chunks = chunks_of(
            texts[-1] if part == "tokenizer_2" else texts[0],
            partial(bare_ids, tokenizer),
            length=tokenizer.model_max_length - 2,
            emphasis=emphasis,
        )
        encoder = part.replace("tokenizer", "text_encoder")
        found[encoder] = tuple(_chunk(chunk, tokenizer) for chunk in chunks)
    return found


def _chunk(chunk: Chunk, tokenizer: Any) -> ChunkFacts:
    begin, end = tokenizer("", verbose=False).input_ids
    tokens = (Token(begin, 1.0), *chunk, Token(end, 1.0))
    names = tokenizer.convert_ids_to_tokens([token.id for token in tokens])
    facts = tuple(
        TokenFacts(
            position=place,
            id=one.id,
            token=name,
            text=name if one.id < 0 else _text(name),
            weight=one.weight,
        )
        for place, (one, name) in enumerate(zip(tokens, names, strict=True))
    )
    return ChunkFacts(tokens=facts, padding=tokenizer.model_max_length - len(tokens))


def _text(token: str) -> str:
    """The text of a token, decoded; it ends with a dash if the next token continues the word."""
    from tokenizers.decoders import ByteLevel

    if token.startswith("<|"):
        return token
    text = str(ByteLevel().decode([token.removesuffix(_WORD_END)]))
    return text if token.endswith(_WORD_END) else f"{text}-"
