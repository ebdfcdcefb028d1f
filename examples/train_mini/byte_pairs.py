"""The tokenizer of the embedded model: byte pairs learnt from captions, in CLIP's own files and
order.

CLIP's vocabulary is the 256 bytes, the 256 bytes that end a word, one entry per merge, and two
special tokens. With all the bytes in it any text can be tokenized; a word no caption has falls
into letters.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from torch import Tensor
from transformers import CLIPTokenizer

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77


def learn_merges(texts: Iterable[str], merges: int) -> list[tuple[str, str]]:
    """Up to ``merges`` byte pairs, commonest first; fewer when every word of the texts is one
    token already."""
    tokenizer = Tokenizer(BPE(end_of_word_suffix=END_OF_WORD))
    tokenizer.normalizer = Lowercase()
    words = Split(Regex(r"\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"), "removed", invert=True)
    tokenizer.pre_tokenizer = Sequence([words, ByteLevel(add_prefix_space=False, use_regex=False)])
    trainer = BpeTrainer(
        vocab_size=2 * 256 + merges,
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix=END_OF_WORD,
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def make_vocabulary(merges: list[tuple[str, str]]) -> dict[str, int]:
    """Token to number, in CLIP's order: bytes, bytes that end a word, merges, start, end."""
    letters = sorted(ByteLevel.alphabet())
    tokens = [*letters, *(letter + END_OF_WORD for letter in letters)]
    tokens += ["".join(pair) for pair in merges]
    return {token: number for number, token in enumerate([*dict.fromkeys(tokens), START, END])}


def save_tokenizer(folder: Path, merges: list[tuple[str, str]]) -> CLIPTokenizer:
    """Write ``vocab.json`` and ``merges.txt`` beside what transformers writes, and return the
    tokenizer."""
    vocabulary = make_vocabulary(merges)
    tokenizer = CLIPTokenizer(
        vocab=vocabulary, merges=merges, unk_token=END, bos_token=START, eos_token=END,
        pad_token=END, model_max_length=TOKENS,
    )  # fmt: skip
    tokenizer.save_pretrained(folder)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return tokenizer


def tokenize(tokenizer: CLIPTokenizer, texts: list[str], length: int | None = None) -> Tensor:
    """Token numbers (texts, length), cut and padded as the pipelines do; the full window unless a
    length is given."""
    return tokenizer(
        texts,
        padding="max_length",
        max_length=length,
        truncation=True,
        return_tensors="pt",
    ).input_ids
