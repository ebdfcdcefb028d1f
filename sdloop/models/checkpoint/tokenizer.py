"""Load a model's tokenizer, without its weights."""

from typing import TYPE_CHECKING

from sdloop.errors import ModelError
from sdloop.models.checkpoint.find import VOCABULARY
from sdloop.models.checkpoint.value import Checkpoint
from sdloop.schedulers.library_messages import no_library_messages

if TYPE_CHECKING:
    from transformers import CLIPTokenizer


def load_tokenizer(model: Checkpoint, part: str) -> "CLIPTokenizer":
    """The tokenizer for one of the text encoders: ``part`` is "tokenizer" or "tokenizer_2".

    Raises ``ModelError`` if it cannot be read.
    """
    from transformers.models.clip.tokenization_clip import CLIPTokenizer  # half a second, no torch

    folder = model.tokenizers[part]
    options = {}
    if folder == VOCABULARY and (model.family == "sd2" or part == "tokenizer_2"):
        options["pad_token"] = "!"  # OpenCLIP pads with the id 0, CLIP with the end token
    try:
        with no_library_messages():
            tokenizer = CLIPTokenizer.from_pretrained(folder, local_files_only=True, **options)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{part} in {folder} cannot be read: {error}") from error
    # Without a tokenizer config, transformers would allow any length.
    tokenizer.model_max_length = min(tokenizer.model_max_length, model.max_tokens)
    return tokenizer
