"""The prompts, axes and seeds of ``sdloop batch``, from its flags."""

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from sdloop.batch.prompt_file import stream_prompts
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.settings import Settings
from sdloop.batch.sweep import Axis, check_axes, parse_axis
from sdloop.batch.text_input import given_prompt
from sdloop.cli.make.from_images import check_stdin
from sdloop.cli.make.image_files import image_files
from sdloop.cli.options.batch import PlanOptions
from sdloop.cli.options.recipe import SeedOptions
from sdloop.errors import SettingError
from sdloop.recipe.limits import MAX_SEED
from sdloop.rules import check_whole

_EXAMPLE = 'sdloop batch "a {red|green} frog" --seed 1..4'


def check_readers(
    arguments: Sequence[str] | None, flags: Mapping[str, Any], seeds: SeedOptions
) -> None:
    """Raise ``SettingError`` if two inputs read stdin, or if prompts come from two places."""
    if arguments and seeds.from_file is not None:
        raise SettingError(
            f"prompt must come from one place, got {arguments[0]!r} and a prompt file"
        )
    texts = list(arguments) if arguments else []
    readers = {name: flags.get(name) for name in ("mask", "depth_map")}
    readers |= {"from_file": seeds.from_file, "config": seeds.config}
    readers |= {f"prompt {number}": text for number, text in enumerate(texts, start=1)}
    check_stdin(flags.get("images", []), readers)


def axes_of(
    flags: Mapping[str, Any], settings: Settings, options: PlanOptions, seeds: SeedOptions
) -> tuple[list[Axis], Settings]:
    """The axes and the settings: several input images are an axis, a single one is a setting."""
    axes = [parse_axis(text) for text in options.sweep or ()]
    images = image_files(flags.get("images", []))
    explicit = dict(Settings.of(flags).recipe)
    explicit |= {name: getattr(seeds, name) for name in ("seed",) if getattr(seeds, name)}
    if len(images) == 1:
        explicit["image"] = images[0]
        settings = Settings(recipe={"image": images[0]}).over(settings)
    elif images:
        axes.insert(0, Axis(name="image", fields=("image",), stretches=(images,)))
    check_axes(axes, explicit, zipped=options.zip)
    return axes, settings


def prompts_of(
    arguments: Sequence[str] | None,
    from_file: str | None,
    axes: Sequence[Axis],
    settings: Settings,
) -> Iterator[Prompt]:
    if from_file is not None:
        return stream_prompts(from_file)
    if arguments:
        return (Prompt(settings={"prompt": given_prompt(text)}) for text in arguments)
    if "prompt" in settings.recipe or any(axis.name == "prompt" for axis in axes):
        return iter([Prompt(settings={})])
    raise SettingError(f"prompt must be given, as in: {_EXAMPLE}")


def still_open(prompts: Iterator[Prompt], explicit: Sequence[str]) -> Iterator[Prompt]:
    """The same prompts; raises ``SettingError`` for flags that cannot change a line with a key."""
    for prompt in prompts:
        if prompt.key is not None and explicit:
            with blaming(prompt.where):
                raise SettingError(f"{explicit[0]} cannot be used with a line that has a key")
        yield prompt


def seeds_for(
    head: Sequence[Prompt], axes: Sequence[Axis], settings: Settings, options: SeedOptions
) -> Collection[int]:
    """The seeds for all prompts without their own seed: from the flags, or random."""
    count = settings.command.get("count", 1)
    check_whole("count", count, 1, MAX_SEED)
    swept = next((axis for axis in axes if axis.name == "seed"), None)
    own = all("seed" in one.settings for one in head)
    if swept is not None or own:
        if options.seed is not None or options.count is not None or (own and swept is not None):
            raise SettingError("seed and count cannot be used here: every picture has its own seed")
        return () if swept is None else swept
    first = settings.recipe.get("seed", random.randrange(MAX_SEED - count + 2))
    if options.seed is not None:
        axis = parse_axis(f"seed={options.seed}")
        if len(axis) > 1:
            if options.count is not None:
                raise SettingError(f"count needs a single seed, got {len(axis)} seeds")
            return axis
        first = next(iter(axis))
    check_whole("seed", first, 0, MAX_SEED - count + 1)
    return range(first, first + count)
