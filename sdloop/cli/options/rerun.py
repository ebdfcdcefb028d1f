"""The flags of ``sdloop rerun``: changes to the settings in a picture's file."""

from sdloop.cli.options.fields import flag, options, own
from sdloop.cli.options.image import ImageOptions
from sdloop.cli.options.recipe import COUNT

RUN_CODE = own(
    "Run Python code that the files name. Their losses may need it. Use it only for files that "
    "you trust.",
    panel="Guidance",
)


@options(panel="Picture")
class ChangeOptions:
    """Changes that only ``rerun`` has flags for."""

    run_code: bool = RUN_CODE
    prompt: str | None = own("New prompt, instead of the recorded one.")
    hires: float | None = flag("hires")
    drop: list[str] | None = own(
        "Remove a setting, as if it had never been given. May be repeated.", metavar="FIELD"
    )


@options(panel="Start")
class OtherImageOptions(ImageOptions):
    """Another input picture, or another strength for the same one."""

    images: list[str] | None = own(
        "Picture to start from, not the recorded one.",
        *("--image", "-i", "--init-image"),
        metavar="IMAGE",
    )


@options(panel="Prompts and seeds")
class OtherSeedOptions:
    """New seeds, number of pictures, and a settings file with changes."""

    seed: str | None = own("New seeds for each file: 4, or 4,7,9, or 1..100.", metavar="SEEDS")
    count: int | None = COUNT
    config: str | None = own(
        "TOML file with changes; flags override it. Your own settings file does not change "
        "pictures.",
        metavar="FILE.toml",
    )
