"""The flags of ``sdloop tokens``."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.model import LORA_DIR

# The settings that decide how a prompt is read.
READ_BY = (
    *("prompt_2", "emphasis", "steps", "embeddings", "replace_tokens"),
    *("model", "revision", "variant"),
)


@options(READ_BY, panel="Output")
class TokenOptions:
    """How the prompt is read, and what is printed."""

    lora_dir: str | None = LORA_DIR
    json: bool = own("Print one line of JSON per encoded text.")
    strict: bool = own("Exit with code 2 if a word is cut or unknown.")
