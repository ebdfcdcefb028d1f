"""Read the input images that Recipes name, resize them, and encode them with the VAE."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache

from torch import Tensor

from sdloop.images.input.canvas import Canvas, canvas
from sdloop.images.input.frame import scaled_size
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.latents.mask import blank
from sdloop.latents.vae import Encoded, encode, to_pixels
from sdloop.models.components.load import Components
from sdloop.models.components.seamless import seamless
from sdloop.pipeline.depth import depth_channel
from sdloop.pipeline.mask import drawn_mask
from sdloop.pipeline.upscaler import opened_upscaled
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.task import IMAGE_FIELDS


@dataclass(frozen=True, kw_only=True, slots=True)
class EncodedInput:
    """An input image, prepared for the loop and encoded by the VAE.

    ``blanked`` is the image with grey in its painted parts, for inpainting UNets, and ``depth`` the
    extra channel of a depth model. An upscaler takes the image itself, so nothing is encoded then.
    """

    canvas: Canvas
    encoded: Encoded | None = None
    blanked: Encoded | None = None
    depth: Tensor | None = None


EncodeInput = Callable[[Recipe], EncodedInput]


def input_encoder(components: Components, open_image: OpenImage) -> EncodeInput:
    """A function that reads and encodes a Recipe's input image: each image only once in a row.

    Raises ``FileError`` if a picture or mask has changed since its Recipe was resolved.
    """

    @lru_cache(maxsize=16)
    def encoded(recipe: Recipe) -> EncodedInput:
        if components.max_noise_level is not None:
            small = _small_size(recipe, components.vae_factor)
            return EncodedInput(canvas=canvas_of(small, open_image))
        whole = recipe
        if recipe.enlarge == "latent":
            recipe = _at_own_size(recipe, open_image, components.size_multiple)
        canvas = canvas_of(recipe, opened_upscaled(recipe, open_image, components.device))
        pixels = to_pixels(canvas.image)
        blanked, vae = None, seamless(components, recipe.seamless).vae
        if canvas.mask is not None and components.paints:
            blanked = encode(vae, blank(pixels, canvas.mask))
        depth = None
        if components.sees_depth:
            depth = depth_channel(components, whole, canvas.image, open_image)
        clean = encode(vae, pixels)
        return EncodedInput(canvas=canvas, encoded=clean, blanked=blanked, depth=depth)

    return lambda recipe: encoded(only_pictures(recipe))


def only_pictures(recipe: Recipe) -> Recipe:
    """``recipe`` with only the fields that decide how its input image is encoded."""
    fields = {
        name: getattr(recipe, name) for name in (*IMAGE_FIELDS, "width", "height", "seamless")
    }
    start = {"strength": None, "exact_steps": False, "start_step": None, "noise_level": None}
    start |= {"image_guidance_scale": None}
    return Recipe(prompt="", seed=0, **(fields | start))


def _small_size(recipe: Recipe, factor: int) -> Recipe:
    """The image at the input size of an upscaler: one pixel for each latent."""
    width, height = recipe.size
    return replace(recipe, width=width // factor, height=height // factor)


def _at_own_size(recipe: Recipe, open_image: OpenImage, multiple: int) -> Recipe:
    """The image for enlarging in latent space: it is encoded at its own small size."""
    assert recipe.image is not None
    width, height = scaled_size(open_image(recipe.image).image.size, 1, multiple)
    return replace(recipe, width=width, height=height)


def canvas_of(recipe: Recipe, open_image: OpenImage) -> Canvas:
    """A resolved Recipe's input picture and mask, prepared for the loop."""
    assert recipe.image and recipe.resize and recipe.background  # resolved
    picture = open_image(recipe.image)
    check_sha256(picture.name, recipe.image_sha256, picture.sha256)
    return canvas(
        picture,
        drawn_mask(recipe, picture, open_image),
        recipe.size,
        resize=recipe.resize,
        background=recipe.background,
        masked=recipe.mask is not None,
        blur=recipe.mask_blur,
        invert=recipe.invert_mask,
        grow=recipe.mask_grow,
        margin=recipe.mask_margin,
    )
