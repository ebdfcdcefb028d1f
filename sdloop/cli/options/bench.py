"""The flags that the ``bench`` commands share."""

from sdloop.cli.options.fields import options, own


@options(panel="Options")
class BenchOptions:
    """The model, and how the figures are printed."""

    model: str = own("Model, as for txt2img.", "-m", metavar="MODEL", default="mini")
    json: bool = own("Print one line of JSON.")
