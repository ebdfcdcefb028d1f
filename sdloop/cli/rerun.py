"""``sdloop rerun``: make pictures again from the settings in their files, with changes."""

from sdloop.cli.options.files import FilesArgument
from sdloop.cli.options.groups import given, with_options
from sdloop.cli.options.image import MaskOptions, ScaleOptions, SideOptions
from sdloop.cli.options.model import ModelOptions
from sdloop.cli.options.output import OutputOptions
from sdloop.cli.options.recipe import RecipeOptions
from sdloop.cli.options.rerun import ChangeOptions, OtherImageOptions, OtherSeedOptions
from sdloop.errors import SettingError


@with_options
def rerun(
    files: FilesArgument = None,
    *,
    change: ChangeOptions,
    larger: ScaleOptions,
    start: OtherImageOptions,
    mask: MaskOptions,
    sides: SideOptions,
    recipe: RecipeOptions,
    seeds: OtherSeedOptions,
    model: ModelOptions,
    output: OutputOptions,
) -> None:
    """Make pictures again from their files, with changes.

    Each file contains the settings of its picture. Without changes the pixels are the same.
    Files of A1111, stable-diffusion.cpp, InvokeAI and mflux work too, and ComfyUI's if the
    graph is simple; a message names each setting that could not be read. In a file name, {file}
    stands for the name of the old picture without its suffix.

    Examples:
      sdloop rerun frog-4.png --steps 80 --hires 2
      sdloop rerun picked/ --seed 1..4 -o "more/{file}-{seed}.png"
      sdloop rerun frog-4.png --variation-seed 9 --variation-strength 0.15
      sdloop rerun from-elsewhere.png --model stable-diffusion-v1-5/stable-diffusion-v1-5
    """
    if not files:
        raise SettingError("a picture must be named, as in: sdloop rerun frog-4.png --steps 80")
    from sdloop.cli.make.rerun import rerun_files
    from sdloop.cli.options.recipe_fields import recipe_settings

    flags = {**given(change, larger, start, mask, sides, model, output), **recipe_settings(recipe)}
    rerun_files(files, flags, change, seeds, output)
