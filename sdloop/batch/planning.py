"""Turn requests into a plan: resolved Recipes with their files, and their keys if those are needed.

There is one planner, for the few pictures of ``txt2img`` as for the millions of ``batch``.
"""

import dataclasses
import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from sdloop.batch.names import Naming, path_of
from sdloop.batch.planned import Planned
from sdloop.batch.prompts import blaming
from sdloop.batch.requests import Complete, Request
from sdloop.batch.taken_names import Taken
from sdloop.errors import SettingError
from sdloop.metadata.atomic import Exists
from sdloop.models.checkpoint.hashes import model_hashes
from sdloop.models.checkpoint.value import ModelNames
from sdloop.pipeline.model_names import model_of
from sdloop.pipeline.resolve import Resolved, Resolver
from sdloop.recipe.key import key_text
from sdloop.recipe.recipe import Recipe

_KEPT = 4096  # Recipes that differ in more than their seeds

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True, slots=True)
class Base:
    """A resolved Recipe, and the text before and after the seed in the input of its key, if any."""

    resolved: Resolved
    around: tuple[str, str] | None

    def key(self, seed: int) -> str:
        if self.around is None:
            return ""
        before, after = self.around
        return hashlib.sha256(f'{before}"seed": {seed}{after}'.encode()).hexdigest()


class Planner:
    """Plans pictures one after the other; work that they have in common is done only once.

    ``exists`` says what to do if a picture's file exists. Without ``keyed`` no weights are hashed,
    and equal pictures are not recognised. ``twice`` counts the pictures that were in the plan
    before, with the same key and file.
    """

    def __init__(
        self,
        resolve: Resolver,
        naming: Naming,
        *,
        exists: Callable[[str | None], Exists],
        complete: Complete = lambda one: one.fields,
        keyed: bool = True,
    ) -> None:
        self.twice = 0
        self._resolve = resolve
        self._naming = naming
        self._exists = exists
        self._complete = complete
        self._keyed = keyed
        self._bases: Callable[[str], list[Base]] = lru_cache(maxsize=_KEPT)(lambda said: [])
        self._weights: dict[ModelNames, Mapping[str, str]] = {}
        self._last: tuple[Mapping[str, Any], Base] | None = None

    def __call__(self, requests: Iterable[Request]) -> Iterator[Planned]:
        """The plan, in the order of the requests, which are read one by one.

        Raises what ``resolve`` raises, with the line, and ``SettingError`` for an invalid file
        name, or for a line of a printed plan whose picture would change.
        """
        return self._named(_each(self.base, requests))

    def all(self, requests: Iterable[Request]) -> list[Planned]:
        """The same, but each check is made for all requests before the next one begins.

        Input pictures are checked before models, which may have to be downloaded.
        """
        recipes = list(_each(lambda one: self._completed(one).recipe, requests))
        for find in (self._resolve.picture, self._resolve.checkpoint):
            for one, recipe in recipes:
                with blaming(one.prompt.where):
                    find(recipe)
        return list(self._named(list(_each(self.base, (one for one, _ in recipes)))))

    def base(self, one: Request) -> Base:
        """The Recipe, resolved once for all seeds."""
        if self._last is not None and self._last[0] is one.fields:
            return self._last[1]
        completed = self._completed(one)
        found = self._bases(repr(sorted(completed.fields.items())))
        if not found:
            found.append(self._new(completed.recipe))
        self._last = one.fields, found[0]
        return found[0]

    def planned(self, one: Request, base: Base, index: int) -> Planned:
        """One picture, without checking the names of others."""
        resolved, key = base.resolved, base.key(one.seed)
        recipe = resolved.recipe.with_seed(one.seed)
        if one.prompt.key not in (None, key):
            raise SettingError(
                "key does not match these settings and weights, which have changed since it was "
                f"printed; to make the picture anyway, leave the key out, got {one.prompt.key}"
            )
        return Planned(
            recipe=recipe,
            picture=resolved.picture,
            checkpoint=resolved.checkpoint,
            loras=resolved.loras,
            path=path_of(recipe, index, self._naming, one.prompt),
            exists=self._exists(one.prompt.output),
            prompt=one.prompt,
            key=key,
        )

    def _completed(self, one: Request) -> Request:
        final = one.prompt.key is not None
        return one if final else dataclasses.replace(one, fields=self._complete(one))

    def _new(self, recipe: Recipe) -> Base:
        resolved = self._resolve(recipe)
        if not self._keyed:
            return Base(resolved=resolved, around=None)
        names = model_of(resolved.recipe)
        if names not in self._weights:
            self._weights[names] = model_hashes(resolved.checkpoint)
        text = key_text(resolved.recipe, self._weights[names])
        # Once: in a value the quotes would have backslashes before them.
        before, after = text.split(f'"seed": {recipe.seed}', 1)
        return Base(resolved=resolved, around=(before, after))

    def _named(self, bases: Iterable[tuple[Request, Base]]) -> Iterator[Planned]:
        """The pictures with names that no other one has, without those that are there twice."""
        taken = Taken()
        for index, (one, base) in enumerate(bases):
            with blaming(one.prompt.where):
                planned = self.planned(one, base, index)
            if self._naming.distinct and self._naming.is_chosen(one.prompt.output):
                _refuse_second(planned.path, taken.number(planned.path), index + 1)
            path = taken.free(planned.path, planned.key)
            if path is None:
                self.twice += 1
                continue
            yield planned if path is planned.path else dataclasses.replace(planned, path=path)


def _refuse_second(path: Path, first: int | None, second: int) -> None:
    if first is not None:
        raise SettingError(
            f"output must name each picture differently, and {str(path)!r} would be picture "
            f"{first} and {second}: use {{seed}} or {{index}} in it"
        )


def _each(step: Callable[[Request], T], requests: Iterable[Request]) -> Iterator[tuple[Request, T]]:
    """Each request with what ``step`` makes of it; errors name the line of the request."""
    for one in requests:
        with blaming(one.prompt.where):
            made = step(one)
        yield one, made
