"""Train the tokenizer of the embedded model: byte pairs over captions, in CLIP's own files and
order.

    python examples/train_mini/train_tokenizer.py --out runs/mini/tokenizer

CLIP's vocabulary is the 256 bytes, the 256 bytes that end a word, one entry per merge, and two
special tokens. With all the bytes in it any text can be tokenized; a word no caption has falls
into letters.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from captions import caption_of
from scenes import sample_scene
from tokenizers import Regex, Tokenizer
from tokenizers.models import BPE
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

END_OF_WORD = "</w>"
START, END = "<|startoftext|>", "<|endoftext|>"
TOKENS = 77


def captions(count: int) -> Iterator[str]:
    """The first telling of the first scenes."""
    return (caption_of(seed, sample_scene(seed), 0) for seed in range(count))


def learn_merges(texts: Iterator[str], merges: int) -> list[tuple[str, str]]:
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


def main() -> None:
    """Parse, train, save, and say how large the vocabulary became."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the tokenizer folder to write")
    parser.add_argument("--captions", type=int, default=20_000, help="captions to learn from")
    parser.add_argument("--merges", type=int, default=1000, help="most byte pairs to learn")
    args = parser.parse_args()
    tokenizer = save_tokenizer(args.out, learn_merges(captions(args.captions), args.merges))
    print(f"{len(tokenizer)} tokens")


if __name__ == "__main__":
    main()
