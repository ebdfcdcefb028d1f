"""The flags for where pictures are written, and what is printed about them; see ``options``."""

from sdloop.batch.command_settings import FORMATS
from sdloop.cli.options.fields import options, own
from sdloop.errors import SettingError
from sdloop.metadata.detail import METADATA
from sdloop.rules import check_local, check_whole


@options(panel="Output")
class OutputOptions:
    """Where pictures are written, and what is printed about them."""

    output: str | None = own(
        "File name, or a template. {seed}, {index}, {prompt}, {steps} … are filled in.",
        "-o",
        metavar="FILE",
    )
    outdir: str | None = own(
        "Folder for pictures with automatic names. It may be an address such as "
        "s3://bucket/folder.",
        metavar="DIR",
    )
    overwrite: bool = own("Overwrite existing pictures.")
    format: str | None = own("File format.", choices=FORMATS)
    metadata: str | None = own("How much of the settings is saved in the file.", choices=METADATA)
    save_steps: str | None = own(
        "Folder for a picture of each step. NAME-step-003.png is the clean picture that the"
        " model predicts after step 3.",
        metavar="DIR",
    )
    save_every: int | None = own(
        "With --save-steps: save only every N-th step, and the last. [default: 1]", metavar="N"
    )
    preview: bool = own("Show the unfinished picture in the terminal.")
    preview_vae: int | None = own(
        "With --preview: decode with the VAE, in full detail, every N steps. Default: a "
        "rough preview that costs almost no time.",
        metavar="N",
    )
    json: bool = own("Print one line of JSON per picture, not its path.")
    dry_run: bool = own("Print the settings as JSON; make no pictures.")
    quiet: bool = own("Print nothing but errors to stderr.", "-q")

    def __post_init__(self) -> None:
        if self.save_steps == "":
            raise SettingError("save_steps must not be empty")
        check_local("save_steps", self.save_steps)
        if self.save_every is not None:
            check_whole("save_every", self.save_every, 1, 1000)
            if self.save_steps is None:
                raise SettingError(f"save_every needs save_steps, got save_every {self.save_every}")
        if self.preview_vae is not None:
            check_whole("preview_vae", self.preview_vae, 1, 1000)
            if not self.preview:
                raise SettingError(f"preview_vae needs preview, got preview_vae {self.preview_vae}")
        if self.preview and self.quiet:
            raise SettingError("preview cannot be combined with quiet")
