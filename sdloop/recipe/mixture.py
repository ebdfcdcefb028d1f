"""The places where prompts can be mixed, and the Recipe fields for each.

::

    embedding    the mean of the encoded prompts
    token        the mean of the words' vectors, before they are encoded
    prediction   the weighted sum of the UNet's predictions for each prompt (AND)
    time         one prompt after the other, while the loop runs ([from:to:when])

The result is always a complete Recipe, which can be run again.
"""

import re
from collections.abc import Sequence
from typing import Any

from sdloop.errors import SettingError
from sdloop.prompt.compose import parts
from sdloop.prompt.schedule import alternatives
from sdloop.rules import check_choice, check_number

PLACES = ("embedding", "token", "prediction", "time")
MAX_WEIGHT = 1e3

_MANY = 100  # steps with which a written prompt is checked

_SLOT = re.compile(r"\{([^{}|]*(?:\|[^{}|]*)+)\}")


def mixture(
    prompts: Sequence[str], weights: Sequence[float], *, at: str = "embedding", slerp: bool = False
) -> dict[str, Any]:
    """The fields of a Recipe for ``prompts`` mixed with ``weights``, at one of ``PLACES``.

    Prompts with weight 0 are left out, so that the ends of a mixture are the plain prompts. For
    "token" there is one prompt, a template with the words in its slot, and the weights are those
    of the words. Weights are normalised to add up to 1, except for "prediction", where they are
    used as given and may be negative.

    Raises ``SettingError`` for weights or prompts that cannot be mixed in this way.

    >>> mixture(["a rabbit", "a frog"], [0.25, 0.75], at="time")
    {'prompt': '[a rabbit:a frog:0.25]'}
    >>> mixture(["a rabbit", "a frog"], [0, 1])
    {'prompt': 'a frog'}
    """
    check_choice("at", at, PLACES)
    if slerp and at != "embedding":
        raise SettingError.of("slerp", f"works only with at 'embedding', got {at!r}")
    if any("<lora:" in prompt for prompt in prompts):
        raise SettingError("prompts to mix must not contain <lora:…>: use --lora for all of them")
    texts = words_of(prompts) if at == "token" else list(prompts)
    _check_weights(weights, len(texts), negative=at in ("prediction", "embedding"))
    pairs = [(text, weight) for text, weight in zip(texts, weights, strict=True) if weight]
    if at == "prediction":
        return {"prompt": _added(pairs)}
    total = sum(weight for _, weight in pairs)
    if total < 1e-3:
        raise SettingError(f"weights must add up to more than 0, got {_listed(weights)}")
    shares = [(text, weight / total) for text, weight in pairs]
    if at == "token":
        return _within(prompts[0], shares)
    if len(shares) == 1:
        return {"prompt": shares[0][0]}
    if at == "time":
        return {"prompt": _in_turn(shares)}
    fields = {
        "prompt": shares[0][0],
        "mix_prompts": tuple(text for text, _ in shares[1:]),
        "mix_weights": tuple(weight for _, weight in shares),
    }
    return fields | ({"slerp": True} if slerp else {})


def words_of(prompts: Sequence[str]) -> list[str]:
    """The words in the slot of the template, which is the only prompt."""
    slots = _SLOT.findall(prompts[0]) if len(prompts) == 1 else []
    words = [word.strip() for word in slots[0].split("|")] if len(slots) == 1 else []
    if not all(words) or not words:
        raise SettingError(
            "mixing at token needs one prompt with one slot, as in "
            f"'a picture of a {{puppy|skunk}}', got {', '.join(map(repr, prompts))}"
        )
    return words


def along(count: int, share: float) -> list[float]:
    """The weights of ``count`` things when ``share`` goes from 0 (the first) to 1 (the last).

    >>> along(3, 0.25), along(3, 1.0)
    ([0.5, 0.5, 0.0], [0.0, 0.0, 1.0])
    """
    place = share * (count - 1)
    return [max(0.0, 1.0 - abs(place - index)) for index in range(count)]


def _check_weights(weights: Sequence[float], count: int, *, negative: bool) -> None:
    if len(weights) != count:
        raise SettingError(f"weights must be {count} numbers, got {_listed(weights)}")
    for weight in weights:
        check_number("weights", weight, -MAX_WEIGHT if negative else 0.0, MAX_WEIGHT)
    if not any(weights):
        raise SettingError(f"weights must not all be 0, got {_listed(weights)}")


def _added(pairs: Sequence[tuple[str, float]]) -> str:
    """``a AND b :0.7``"""
    if len(pairs) == 1 and pairs[0][1] != 1:
        raise SettingError(
            "weights must have at least two that are not 0, or a single 1, "
            f"got a single {pairs[0][1]:g}"
        )
    if len(pairs) == 1:
        return pairs[0][0]
    written = [(text.strip(), round(weight, 6)) for text, weight in pairs]
    prompt = " AND ".join(
        f"{text} :{_decimal(weight).removesuffix('.0')}" for text, weight in written
    )
    if parts(prompt) != tuple(written):
        raise SettingError(f"prompts to add must not contain AND, got {prompt!r}")
    return prompt


def _in_turn(shares: Sequence[tuple[str, float]]) -> str:
    """``[a:[b:c:0.75]:0.5]``"""
    done = 0.0
    ends = []
    for _, share in shares[:-1]:
        done += share
        ends.append(round(done, 6))
    for texts in ([text for text, _ in shares], [_plain(text) for text, _ in shares]):
        prompt = texts[-1]
        for text, end in reversed(list(zip(texts, ends, strict=False))):
            prompt = f"[{text}:{prompt}:{_decimal(end)}]"
        if _over(prompt) == _one_by_one(texts, ends):
            return prompt
    raise SettingError(f"these prompts cannot be mixed at time, got {prompt!r}")


def _over(prompt: str) -> list[str]:
    """The text of a prompt at each of many steps."""
    found: list[str] = []
    for last, text in alternatives(prompt, _MANY):
        found += [text] * (last - len(found))
    return found


def _one_by_one(texts: Sequence[str], ends: Sequence[float]) -> list[str]:
    """The text at each step when prompts follow each other, each up to its end (0 to 1)."""
    found: list[str] = []
    for text, end in zip(texts, [*ends, 1.0], strict=True):
        found += _over(text)[len(found) : int(end * _MANY)]
    return found


def _plain(text: str) -> str:
    """``text`` with the marks outside of its brackets escaped, so that they are plain text."""
    depth, letters = 0, []
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        letters.append("\\" + letter if letter in ":|" and depth == 0 else letter)
    return "".join(letters)


def _within(template: str, shares: Sequence[tuple[str, float]]) -> dict[str, Any]:
    """A prompt with one word in the slot, and replace_tokens that mixes the words in its place."""
    word = shares[0][0]
    prompt = _SLOT.sub(lambda _: word, template)
    if len(shares) == 1:
        return {"prompt": prompt}
    if len(re.findall(rf"(?i)(?<!\w){re.escape(word)}(?!\w)", prompt)) > 1:
        raise SettingError(f"the mixed word must be in the prompt only once, got {prompt!r}")
    terms = "+".join(f"{_decimal(round(share, 6))}*{text}" for text, share in shares)
    return {"prompt": prompt, "replace_tokens": (f"{word}={terms}",)}


def _decimal(number: float) -> str:
    """A number without an exponent, because the grammar of prompts has none.

    >>> _decimal(0.5), _decimal(2.0), _decimal(-1e-6)
    ('0.5', '2.0', '-0.000001')
    """
    text = f"{number:.6f}".rstrip("0")
    return text + "0" if text.endswith(".") else text


def _listed(weights: Sequence[float]) -> str:
    return ", ".join(f"{weight:g}" for weight in weights)


def between_seeds(seeds: Sequence[int], share: float) -> dict[str, Any]:
    """The seed when ``share`` goes from 0 (the first seed) to 1 (the last), as Recipe fields.

    >>> between_seeds([4, 5, 6], 0.75)
    {'seed': 5, 'variation_seed': 6, 'variation_strength': 0.5}
    >>> between_seeds([4, 5, 6], 1.0)
    {'seed': 6}
    """
    place = round(share * (len(seeds) - 1), 6)
    first = int(place)
    if place == first:
        return {"seed": seeds[first]}
    strength = round(place - first, 6)
    return {
        "seed": seeds[first],
        "variation_seed": seeds[first + 1],
        "variation_strength": strength,
    }
