"""``sdloop show``: print the settings in picture files."""

from sdloop.cli.options.fields import options, own
from sdloop.cli.options.files import FilesArgument
from sdloop.cli.options.groups import with_options
from sdloop.errors import SettingError


@options(panel="Output")
class PrintOptions:
    """How the settings are printed."""

    json: bool = own("Print one line of JSON per picture, which --from-file can read.")
    csv: bool = own("Print a CSV table, with a column for each setting.")


@with_options
def show(files: FilesArgument = None, *, out: PrintOptions) -> None:
    """Print the settings that pictures were made with.

    The files may come from sdloop or another program. Files of A1111, stable-diffusion.cpp,
    mflux and InvokeAI can be read, and ComfyUI's if the graph is simple. If a picture cannot be
    read, the others are still shown and the exit code is 3.

    Examples:
      sdloop show frog-4.png
      sdloop show out/ --csv > out.csv
    """
    if not files:
        raise SettingError("a picture must be named, as in: sdloop show frog-4.png")
    if out.json and out.csv:
        raise SettingError("json and csv cannot be combined")
    from sdloop.cli.read.show import show_files

    show_files(files, json_lines=out.json, csv=out.csv)
