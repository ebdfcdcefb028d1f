"""Print how a prompt is split into tokens."""

import dataclasses
import json
from collections.abc import Iterator, Sequence
from functools import partial

from sdloop.batch.loras import with_loras, without_other_tags
from sdloop.batch.settings import Settings
from sdloop.cli.make.run import given_prompts
from sdloop.cli.options.groups import given
from sdloop.cli.options.tokens import READ_BY, TokenOptions
from sdloop.cli.read.token_facts import EncodedText, TokenFacts, encoded_texts
from sdloop.cli.terminal.columns import columns, safe
from sdloop.cli.terminal.output import emit
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import SettingError
from sdloop.recipe.loras import split_tags
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve import resolve

_MOST = 4  # ranges of steps to print for one text


def show_tokens(prompt: str | None, how: TokenOptions) -> None:
    """Print the tokens of each encoded text."""
    from sdloop.models.checkpoint.embedding import find_embedding
    from sdloop.models.checkpoint.find import find_checkpoint

    flags = {name: value for name, value in given(how).items() if name in READ_BY}
    settings = Settings.of(flags).over(standing_settings(None))
    (asked,) = given_prompts(prompt, None, settings, example='sdloop tokens "a red frog"')
    fields = {name: v for name, v in settings.recipe.items() if name in READ_BY}
    # <lora:…> is removed from a prompt before it is parsed; the file must exist in the folder.
    prompt = asked.settings.get("prompt", settings.recipe.get("prompt", ""))
    read, called = split_tags(without_other_tags({"prompt": prompt})["prompt"])
    if how.lora_dir is not None:
        with_loras({"prompt": "", "loras": called}, how.lora_dir)
    recipe = Recipe.from_dict({**fields, **asked.settings, "prompt": read, "seed": 0})
    checkpoint = find_checkpoint(
        recipe.model, revision=recipe.revision, variant=recipe.variant, may_fetch=False
    )
    find = partial(find_embedding, may_fetch=False)
    resolved = resolve(recipe, checkpoint, find_embedding=find)
    seen = list(encoded_texts(resolved, checkpoint))
    for one in seen:
        emit(json.dumps(dataclasses.asdict(one)) if how.json else "\n".join(_lines(one, seen)))
    if how.strict:
        _refuse(seen, recipe.model)


def _lines(seen: EncodedText, everything: Sequence[EncodedText]) -> Iterator[str]:
    """The lines for one text, with its steps and weight if there are several texts."""
    if seen is not everything[0]:
        yield ""
    weight = "" if seen.weight == 1 else f", weight {seen.weight:g}"
    yield safe(f"{_steps(seen)}{weight}: {seen.text}" if len(everything) > 1 else seen.text)
    for encoder, chunks in seen.encoders.items():
        count = sum(len(chunk.tokens) - 2 for chunk in chunks)
        pieces = f" in {len(chunks)} chunks" if len(chunks) > 1 else ""
        yield f"  {encoder} reads {count} token{'' if count == 1 else 's'}{pieces}:"
        rows = [_row(number, token) for number, c in enumerate(chunks, 1) for token in c.tokens]
        yield from (f"    {line}" for line in columns([_HEADINGS, *rows]))
    for what, words in (("unknown", seen.unknown), ("cut", seen.cut)):
        if words:
            yield safe(f"  {what}: {', '.join(words)}")


_HEADINGS = ("chunk", "position", "id", "token", "weight")


def _row(number: int, token: TokenFacts) -> tuple[str, ...]:
    weight = "" if token.weight == 1 else f"{token.weight:.4g}"
    return str(number), str(token.position), str(token.id), token.text, weight


def _steps(seen: EncodedText) -> str:
    """Like "steps 1 to 12", or for alternating texts "steps 1, 3, 5, 7, …"."""
    stretches = [
        f"{first}" if first == last else f"{first} to {last}" for first, last in seen.steps
    ]
    if len(stretches) > _MOST:
        stretches[_MOST:] = ["…"]
    return f"steps {', '.join(stretches)}"


def _refuse(seen: Sequence[EncodedText], model: str) -> None:
    """Raise ``SettingError`` for words that have no effect."""
    unknown = dict.fromkeys(word for one in seen for word in one.unknown)
    cut = dict.fromkeys(word for one in seen for word in one.cut)
    if unknown:
        raise SettingError(f"prompt has words that {model} does not know: {', '.join(unknown)}")
    if cut:
        raise SettingError(f"prompt has words that no step uses: {', '.join(cut)}")
