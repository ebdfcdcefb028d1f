"""Draw the mask of a picture."""

from sdloop.cli.inspect.shared import sheet_path, write_plain
from sdloop.cli.make.image_files import image_opener
from sdloop.cli.options.groups import given
from sdloop.cli.options.image import DrawnMaskOptions
from sdloop.cli.options.sheet import SheetOptions
from sdloop.cli.terminal.output import say
from sdloop.images.input.mask import mask_words, painted_mask
from sdloop.recipe.recipe import Recipe


def show_mask(image: str, mask: str, drawn: DrawnMaskOptions, out: SheetOptions) -> None:
    """Save the mask, and say how much it paints and how sure the model is of its words."""
    path = sheet_path(out, "mask.png")
    recipe = Recipe.from_dict(
        {"prompt": "", "seed": 0, "image": image, "mask": mask, **given(drawn)}
    )
    from PIL import ImageStat

    from sdloop.pipeline.mask import drawn_mask, most_sure

    open_image = image_opener()
    picture = open_image(image)
    painted = painted_mask(
        picture,
        drawn_mask(recipe, picture, open_image),
        blur=recipe.mask_blur,
        invert=recipe.invert_mask,
        grow=recipe.mask_grow,
        tell=True,
    )
    write_plain(painted, path, out)
    if not out.quiet:
        share, sure = ImageStat.Stat(painted).mean[0] / 255, ""
        if mask_words(mask) is not None:
            sure = f"; the highest value of its words is {most_sure(recipe, picture):.3g}"
        say(f"{share:.1%} is painted{sure}")
