"""``sdloop pick``: browse a folder of pictures in the browser, and pick the best."""

from sdloop.cli.options.groups import with_options
from sdloop.cli.options.pick import FolderArgument, GalleryOptions, PageOptions
from sdloop.cli.options.ranking import RankOptions
from sdloop.errors import SettingError


@with_options
def pick(
    folder: FolderArgument = None,
    *,
    page: PageOptions,
    gallery: GalleryOptions,
    ranking: RankOptions,
) -> None:
    """Choose pictures of a folder in the browser.

    The paths of the chosen pictures are written to picks.txt in the folder, one per line. The page
    is served only to this machine. Press Ctrl-C to end it.

    Examples:
      sdloop pick out/
      sdloop pick out/ --export gallery --picked
      sdloop pick out/ --rank clip
    """
    if folder is None:
        raise SettingError("a folder must be given, as in: sdloop pick out/")
    from sdloop.cli.read.pick import pick_from

    pick_from(folder, page, gallery, ranking)
