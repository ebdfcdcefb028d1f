"""``sdloop tokens``: show how a prompt is split into tokens."""

from typing import Annotated, Any

from sdloop.cli.options.fields import flag
from sdloop.cli.options.groups import option
from sdloop.cli.options.model import LoraDir, Model, Revision, Variant
from sdloop.cli.options.recipe import PromptArgument

Json = Annotated[bool, option("Output", "Print one line of JSON per encoded text.", "--json")]

Strict = Annotated[
    bool,
    option("Output", "Exit with code 2 if a word is cut or unknown.", "--strict"),
]


def tokens(
    prompt: PromptArgument = None,
    *,
    prompt_2: Annotated[str | None, flag("prompt_2")] = None,
    emphasis: Annotated[str | None, flag("emphasis")] = None,
    steps: Annotated[int | None, flag("steps")] = None,
    embeddings: Annotated[list[str] | None, flag("embeddings")] = None,
    replace_tokens: Annotated[list[str] | None, flag("replace_tokens")] = None,
    lora_dir: LoraDir = None,
    model: Model = None,
    revision: Revision = None,
    variant: Variant = None,
    json_lines: Json = False,
    strict: Strict = False,
) -> None:
    """Show how a model splits a prompt into tokens.

    Also shown are the chunks that the encoder reads, and the weights. Only the vocabulary is
    loaded. A prompt that changes during the steps, or that combines several prompts, is shown
    part by part.

    Examples:
      sdloop tokens "a (red:1.5) frog on stilts"
      sdloop tokens "a [red:green:0.5] frog" --steps 30
      sdloop tokens "a zebra" --strict || echo "the model does not know one of these words"
    """
    from sdloop.cli.read.tokens import show_tokens

    given: dict[str, Any] = {"prompt_2": prompt_2, "emphasis": emphasis, "steps": steps}
    given["embeddings"] = embeddings if embeddings else None
    given["replace_tokens"] = replace_tokens if replace_tokens else None
    named = {"model": model, "revision": revision, "variant": variant}
    show_tokens(prompt, given, named, lora_dir, json_lines=json_lines, strict=strict)
