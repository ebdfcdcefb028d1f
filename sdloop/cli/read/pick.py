"""Serve or export the page on which pictures are picked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdloop.cli.options.pick import GalleryOptions, PageOptions
from sdloop.cli.options.ranking import RankOptions
from sdloop.cli.read.ranking import check_rank, ranked
from sdloop.cli.terminal.output import emit, say
from sdloop.cli.user_settings import standing_settings
from sdloop.errors import FileError, SettingError
from sdloop.gallery.choices import PICKS, Choices, choices_of
from sdloop.gallery.gallery import check_gallery, write_gallery
from sdloop.gallery.index import Index
from sdloop.gallery.thumbnails import cache_folder
from sdloop.metadata.atomic import check_writable
from sdloop.places.path import location
from sdloop.recipe.presets import with_preset
from sdloop.rules import check_local, check_whole

Facts = Mapping[str, Any]


def pick_from(
    folder: str, page: PageOptions, gallery: GalleryOptions, ranking: RankOptions
) -> None:
    """Serve the page for a folder, or write it and its pictures to another."""
    shown = location(folder)
    root = _root(shown)
    check_rank(ranking)
    if gallery.export is not None:
        _refuse_page_options(page)
        _export(root, shown, gallery, ranking)
        return
    for name, given in (("picked", gallery.picked), ("overwrite", gallery.overwrite)):
        if given:
            raise SettingError(f"{name} needs --export")
    if ranking.top is not None:
        raise SettingError("top needs --export: the page shows all pictures, sorted by score")
    _serve(root, shown, page, ranking, quiet=gallery.quiet)


def _root(folder: Path) -> Path:
    """The folder's path without links; raises ``FileError`` if it is not a folder."""
    try:
        root = folder.resolve(strict=True)
        found = root.is_dir()
    except (OSError, ValueError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"cannot read {str(folder)!r}: {reason}") from error
    if not found:
        raise FileError(f"cannot read {str(folder)!r}: it is not a folder")
    return root


def _refuse_page_options(page: PageOptions) -> None:
    for name in ("port", "no_browser", "copy_to"):
        if getattr(page, name) not in (None, False):
            raise SettingError(f"{name} cannot be combined with --export, which serves no page")


def _export(root: Path, shown: Path, options: GalleryOptions, ranking: RankOptions) -> None:
    check_local("export", options.export)
    target = Path(str(options.export))
    check_gallery(root, target, overwrite=options.overwrite)
    scores = _scores(root, ranking, quiet=options.quiet)
    index = Index(root, scores=scores)
    pictures = {str(facts["path"]): facts for facts in index.read_all()}
    if options.picked:
        pictures = _picked(pictures, root, quiet=options.quiet)
    if ranking.rank is not None:
        best = sorted(pictures, key=lambda path: -scores.get(path, float("-inf")))
        pictures = {path: pictures[path] for path in best[: ranking.top]}
    if not pictures:
        what = "no picture was picked" if options.picked else "it contains no pictures"
        raise FileError(f"cannot make a gallery of {str(shown)!r}: {what}")
    seen = [(index.picture(str(facts["id"])), facts) for facts in pictures.values()]
    there = [(one, facts) for one, facts in seen if one is not None]
    emit(str(write_gallery(root, there, target, shown=shown, cache=cache_folder())))


def _picked(pictures: Mapping[str, Facts], root: Path, *, quiet: bool) -> dict[str, Facts]:
    """The picked pictures, in the order of picking."""
    picks = choices_of(root).picks
    gone = [path for path in picks if path not in pictures]
    if gone and not quiet:
        say(f"left out {len(gone)} of the picks because files are missing, such as {gone[0]!r}")
    return {path: pictures[path] for path in picks if path in pictures}


def _scores(root: Path, ranking: RankOptions, *, quiet: bool) -> dict[str, float]:
    """The pictures' CLIP scores by path, if a ranking is requested.

    A picture without a prompt has no score, unless --rank-prompt gives one for all.
    """
    if ranking.rank is None:
        return {}
    paths = [
        str(facts["path"])
        for facts in Index(root).read_all()
        if "prompt" in facts["settings"] or ranking.rank_prompt is not None
    ]
    names = {str(root / path): path for path in paths}
    found = ranked(list(names), replace(ranking, top=None), quiet=quiet) if names else []
    return {names[one.name]: one.score for one in found}


def _serve(
    root: Path, shown: Path, page: PageOptions, ranking: RankOptions, *, quiet: bool
) -> None:
    from sdloop.gallery.serve import check_framework, serve

    port = 0 if page.port is None else page.port
    check_whole("port", port, 0, 65535)
    copies = _copies(root, shown, page.copy_to)
    check_framework()
    check_writable(root / PICKS, exists="overwrite")
    from sdloop.gallery.app import Desk

    desk = Desk(
        root=root,
        shown=shown,
        copies=copies,
        cache=cache_folder(),
        index=Index(root, scores=_scores(root, ranking, quiet=quiet)),
        standing=frozenset(with_preset(standing_settings(None).recipe)),
    )
    serve(desk, port=port, browser=not page.no_browser, tell=emit)
    if not quiet:
        _tell(choices_of(root), shown)


def _copies(root: Path, shown: Path, asked: str | None) -> Path:
    """The folder for copies, outside of the pictures' folder, so that they do not appear in it."""
    target = root.with_name(f"{root.name}-picks") if asked is None else location(asked)
    place = target.resolve()
    if place == root or root in place.parents:
        raise SettingError(f"copy_to must lie outside of {str(shown)!r}, got {str(target)!r}")
    return target


def _tell(choices: Choices, shown: Path) -> None:
    say(f"{len(choices.picks)} picked, {len(choices.rejects)} rejected; see {shown / PICKS}")
