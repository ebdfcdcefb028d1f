"""The file that an address means, downloaded if it is not here."""

from pathlib import Path

from sdloop.models.checkpoint.addresses import Address, CivitaiAddress, HubAddress
from sdloop.models.checkpoint.civitai import civitai_file
from sdloop.models.checkpoint.hub_single import single_file


def file_at(place: Address, *, may_fetch: bool = True) -> Path | None:
    """The path that ``place`` means; None for a whole repository of the hub.

    Raises ``ModelError`` for a file that cannot be downloaded. A path need not exist.
    """
    if isinstance(place, CivitaiAddress):
        return civitai_file(place, may_fetch=may_fetch)
    if not isinstance(place, HubAddress):
        return place
    if place.file is None:
        return None
    return single_file(place.model, place.revision, place.file, may_fetch=may_fetch)
