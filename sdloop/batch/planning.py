"""Turn requests into a plan: resolved Recipes with their keys and file names."""

import dataclasses
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdloop.batch.cross import Request
from sdloop.batch.names import Naming, path_of
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import Prompt, blaming
from sdloop.batch.taken_names import Taken
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists
from sdloop.metadata.names import check_inside
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.model_names import model_of
from sdloop.pipeline.resolve import Resolved, Resolver
from sdloop.recipe.key import key_text
from sdloop.recipe.recipe import Recipe

# The fields of a Recipe with what had to wait for the final text of its prompt.
Complete = Callable[[Request], Mapping[str, Any]]

_KEPT = 4096  # Recipes that differ in more than their seeds


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A resolved Recipe, and the text before and after the seed in the input of its key."""

    resolved: Resolved
    around: tuple[str, str]

    def key(self, seed: int) -> str:
        before, after = self.around
        return hashlib.sha256(f'{before}"seed": {seed}{after}'.encode()).hexdigest()


class Planner:
    """Plans pictures one after the other; work that they have in common is done only once.

    ``exists`` says what to do if a picture's file exists. ``twice`` counts the pictures that were
    in the plan before, with the same key and file.
    """

    def __init__(
        self,
        resolve: Resolver,
        naming: Naming,
        *,
        complete: Complete,
        exists: Callable[[str | None], Exists],
    ) -> None:
        self.twice = 0
        self._resolve = resolve
        self._naming = naming
        self._exists = exists
        self._complete = complete
        self._bases: Callable[[str], list[Base]] = lru_cache(maxsize=_KEPT)(lambda said: [])
        self._weights: dict[ModelNames, Mapping[str, str]] = {}
        self._last: tuple[Mapping[str, Any], Base] | None = None

    def __call__(self, requests: Iterable[Request]) -> Iterator[Planned]:
        """The plan, in the order of the requests.

        Raises what ``resolve`` raises, with the line, and ``SettingError`` for an invalid file
        name, or for a line of a printed plan whose picture would change.
        """
        taken = Taken()
        for index, one in enumerate(requests):
            with blaming(one.prompt.where):
                planned = self.planned(one, index)
            assert planned.key is not None
            path = taken.free(planned.path, planned.key)
            if path is None:
                self.twice += 1
                continue
            yield planned if path is planned.path else _at(planned, path)

    def planned(self, one: Request, index: int) -> Planned:
        """One picture, without checking the names of others."""
        base = self.base(one)
        resolved, key = base.resolved, base.key(one.seed)
        recipe = resolved.recipe.with_seed(one.seed)
        if one.prompt.key not in (None, key):
            raise SettingError(
                "key is not that of these settings and weights, which have changed since it was "
                f"printed; to make the picture all the same leave the key out, got {one.prompt.key}"
            )
        return Planned(
            recipe=recipe,
            picture=resolved.picture,
            checkpoint=resolved.checkpoint,
            path=self._path(one.prompt, recipe, index),
            exists=self._exists(one.prompt.output),
            output=one.prompt.output,
            loras=resolved.loras,
            key=key,
        )

    def base(self, one: Request) -> Base:
        """The Recipe, resolved once for all seeds."""
        if self._last is not None and self._last[0] is one.fields:
            return self._last[1]
        fields = one.fields
        if one.prompt.key is None:
            fields = self._complete(one)
        found = self._bases(repr(sorted(fields.items())))
        if not found:
            found.append(self._new(fields, one.seed))
        self._last = one.fields, found[0]
        return found[0]

    def _new(self, fields: Mapping[str, Any], seed: int) -> Base:
        resolved = self._resolve(Recipe.from_dict({**fields, "seed": seed}))
        names = model_of(resolved.recipe)
        if names not in self._weights:
            from sdloop.models.checkpoint.hashes import model_hashes

            self._weights[names] = model_hashes(resolved.checkpoint)
        text = key_text(resolved.recipe, self._weights[names])
        # Once: in a value the quotes would have backslashes before them.
        before, after = text.split(f'"seed": {seed}', 1)
        return Base(resolved=resolved, around=(before, after))

    def _path(self, prompt: Prompt, recipe: Recipe, index: int) -> Path:
        if prompt.key is None or prompt.output is None:
            return path_of(recipe, index, self._naming, own=prompt.output)
        return _printed_path(prompt.output, self._naming.outdir)


def _printed_path(output: str, outdir: str | None) -> Path:
    """The file that a line of a plan names, as it stands there; see ``lines.output_of``."""
    path = Path(output)
    home = os.path.abspath(Path("" if outdir is None else outdir).expanduser())  # noqa: PTH100
    if path.is_absolute() and ".." not in path.parts and path.is_relative_to(home):
        return path
    if not output or output.endswith("/"):
        raise SettingError(f"output must name a file, got {output!r}")
    if path.is_absolute():
        raise SettingError(f"output must be in {home!r}, or its folder --outdir, got {output!r}")
    return Path("" if outdir is None else outdir).expanduser() / check_inside(output)


def _at(planned: Planned, path: Path) -> Planned:
    return dataclasses.replace(planned, path=path)
