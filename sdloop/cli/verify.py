"""``sdloop verify``: make pictures again and compare them with their files."""

from sdloop.cli.options.files import FilesArgument
from sdloop.cli.options.groups import with_options
from sdloop.cli.options.verify import VerifyOptions
from sdloop.errors import SettingError


@with_options
def verify(files: FilesArgument = None, *, how: VerifyOptions) -> None:
    """Make pictures again, and check that they are the same.

    Nothing is written. If a picture differs, the size of the difference and its likely cause are
    printed. A JPEG is compared with the new picture saved as a JPEG, a picture of --save-steps with
    the same step. The exit code is 0 if all are equal, 5 if some differ, and 3 if none differs but
    some could not be made again.

    Example:
      sdloop verify out/ --json
    """
    if not files:
        raise SettingError("a picture must be named, as in: sdloop verify frog-4.png")
    from sdloop.cli.make.verify import verify_files

    verify_files(files, how)
