"""``sdloop tokens``: show how a prompt is split into tokens."""

from sdloop.cli.options.groups import with_options
from sdloop.cli.options.recipe import PromptArgument
from sdloop.cli.options.tokens import TokenOptions


@with_options
def tokens(prompt: PromptArgument = None, *, how: TokenOptions) -> None:
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

    show_tokens(prompt, how)
