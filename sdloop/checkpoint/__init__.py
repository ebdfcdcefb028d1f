"""A model on disk: found, recognised, told about and hashed, not loaded. No torch in here."""

from sdloop.checkpoint.advice import Advice
from sdloop.checkpoint.cache import cached_checkpoints
from sdloop.checkpoint.clip import ClipCheckpoint, View, clip_hashes, find_clip
from sdloop.checkpoint.find import LAYOUTS, MINI, VOCABULARY, find_checkpoint, local_path
from sdloop.checkpoint.hashes import model_hashes
from sdloop.checkpoint.lora import FindLora, LoraFile, check_lora, find_lora, lora_in
from sdloop.checkpoint.parts import Part, bytes_on_disk, parts_of
from sdloop.checkpoint.tokenizer import load_tokenizer
from sdloop.checkpoint.value import Checkpoint
from sdloop.checkpoint.words import check_replacements, knows_a_word, unknown_words

__all__ = [
    "LAYOUTS",
    "MINI",
    "VOCABULARY",
    "Advice",
    "Checkpoint",
    "ClipCheckpoint",
    "FindLora",
    "LoraFile",
    "Part",
    "View",
    "bytes_on_disk",
    "cached_checkpoints",
    "check_lora",
    "check_replacements",
    "clip_hashes",
    "find_checkpoint",
    "find_clip",
    "find_lora",
    "knows_a_word",
    "load_tokenizer",
    "local_path",
    "lora_in",
    "model_hashes",
    "parts_of",
    "unknown_words",
]
