"""Pictures in a folder, looked through and picked in a browser of this machine. No torch in here.

Only ``guard``, ``app`` and ``serve`` need a web framework, and are imported where a page is served.
"""

from sdloop.pick.choices import Choice, Choices, choices_of, choose
from sdloop.pick.commands import Command, larger, remaking
from sdloop.pick.gallery import check_gallery, write_gallery

__all__ = [
    "Choice",
    "Choices",
    "Command",
    "check_gallery",
    "choices_of",
    "choose",
    "larger",
    "remaking",
    "write_gallery",
]
