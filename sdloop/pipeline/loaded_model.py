"""A loaded model with caches of LoRAs, learned words and encoded prompts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import groupby
from typing import Any

from sdloop.conditioning.encode import Encode, encode_prompt
from sdloop.conditioning.words import Words, with_words
from sdloop.images.input.read import OpenImage, check_sha256
from sdloop.metadata.environment import Environment
from sdloop.models.checkpoint.control import FindControl, find_control
from sdloop.models.checkpoint.image_adapter import FindImageAdapter, find_image_adapter
from sdloop.models.checkpoint.lora import FindLora, LoraFile, find_lora
from sdloop.models.components.adapters import adapted
from sdloop.models.components.control import controlnets_for
from sdloop.models.components.device import uses_tf32
from sdloop.models.components.fp8 import FP8
from sdloop.models.components.image_adapter import ImageAdapter, image_adapters_for
from sdloop.models.components.load import Components, Follower
from sdloop.models.components.picture_attention import Look, seeing
from sdloop.models.components.seamless import seamless
from sdloop.models.components.weights import Module
from sdloop.pipeline.model_names import with_model
from sdloop.pipeline.own_code import NO_OWN_CODE, OwnCode
from sdloop.pipeline.resolve import resolve_for
from sdloop.recipe.controls import Control
from sdloop.recipe.loras import Lora
from sdloop.recipe.recipe import Recipe
from sdloop.recipe.resolve_image_prompts import shown_in

Encoder = Callable[[Words], Encode]

# This many prompts may be needed again within a window of a batch's plan (``grouping.WINDOW``
# pictures). For SDXL they take 160 MB in half precision.
_TEXTS = 512


@dataclass(frozen=True, kw_only=True, slots=True)
class LoadedModel:
    """A loaded model; created by ``loaded_model``.

    ``prepare`` returns components with the given LoRAs, and a function that encodes prompts for
    each set of words; ``refiner_encoder`` is the refiner's. ``see`` returns the UNet with LoRAs
    that looks at pictures: see ``seeing``. ``components`` are the plain model's.
    ``environment`` is what the pictures' files record about it, and ``own`` is the caller's own
    loop or scheduler.
    """

    components: Components
    environment: Environment
    find_lora: FindLora
    own: OwnCode
    prepare: Callable[[tuple[Lora, ...]], tuple[Components, Encoder]]
    refiner_encoder: Encoder
    find_control: FindControl
    find_image_adapter: FindImageAdapter
    see: Callable[[tuple[Lora, ...], tuple[Look, ...]], Module]

    def resolved(self, recipe: Recipe, open_image: OpenImage) -> Recipe:
        """``recipe`` with the model's name and choices, its picture, LoRAs and CLIP written in.

        Raises what ``with_model`` and ``recipe.resolve`` raise.
        """
        recipe = with_model(recipe, self.components.checkpoint)
        self.own.check(recipe)
        plain = self.own.unsettled(recipe)
        resolved = resolve_for(
            self.components,
            plain,
            open_image,
            self.find_lora,
            self.find_control,
            self.find_image_adapter,
        )
        return self.own.settled(resolved, recipe)

    def followers(self, followed: Sequence[Control]) -> dict[str, Any]:
        """The loaded ControlNets and T2I-Adapters as fields of Components.

        Raises ``ModelError`` for one that does not suit the UNet.
        """
        files = [self.find_control(one.model, one.field) for one in followed]
        for one, file in zip(followed, files, strict=True):
            check_sha256(repr(one.model), one.model_sha256, file.sha256, what="model")
        loaded = controlnets_for(self.components, files) if files else ()
        used = [
            Follower(net, one.scale, one.seen_as if file.modes else None, file.modes)
            for one, file, net in zip(followed, files, loaded, strict=True)
        ]
        # ControlNets come first.
        count = sum(file.field == "controls" for file in files)
        return {"controlnets": tuple(used[:count]), "t2i_adapters": tuple(used[count:])}

    def image_adapters(self, recipe: Recipe) -> dict[str, ImageAdapter]:
        """The loaded IP-Adapters of a Recipe's image prompts, by name.

        Raises ``ModelError`` for one that does not suit the UNet.
        """
        seers = dict.fromkeys(one.seer for one in shown_in(recipe))
        files = [self.find_image_adapter(one.name, recipe.image_encoder) for one in seers]
        for one, file in zip(seers, files, strict=True):
            check_sha256(repr(file.name), one.sha256, file.sha256, what="IP-Adapter")
            wanted, found = one.encoder_sha256, file.encoder.sha256
            check_sha256(repr(file.encoder.name), wanted, found, what="image encoder")
        loaded = image_adapters_for(self.components, files)
        return {one.name: adapter for one, adapter in zip(seers, loaded, strict=True)}

    def seeing(self, recipe: Recipe) -> dict[str, Any]:
        """What sees a Recipe's image prompts, as fields of Components; else nothing."""
        shown = shown_in(recipe)
        if not shown:
            return {}
        adapters, looks = self.image_adapters(recipe), []
        for (name, placed), group in groupby(shown, lambda one: (one.seer.name, one.prompt.placed)):
            scales = [one.prompt.scale for one in group]
            adapter = adapters[name]
            if placed:
                looks += [Look(adapter.layers, adapter.count, scale, True) for scale in scales]
            else:
                looks.append(Look(adapter.layers, adapter.count * len(scales), scales[0], False))
        unet = self.see(recipe.loras, tuple(looks))
        return {"unet": unet, "image_adapters": tuple(adapters.values())}

    def with_parts(self, recipe: Recipe) -> tuple[Components, Encoder]:
        """The components with all that a Recipe adds to the model, and what encodes its prompts."""
        components, encoder = self.prepare(recipe.loras)
        added = self.followers(recipe.followed) | self.seeing(recipe)
        return seamless(replace(components, **added), recipe.seamless), encoder

    def loras(self, recipe: Recipe) -> tuple[LoraFile, ...]:
        """The Recipe's LoRA files."""
        return tuple(self.find_lora(lora.name) for lora in recipe.loras)


def loaded_model(components: Components, own: OwnCode = NO_OWN_CODE) -> LoadedModel:
    """``components`` with a cache of encoded prompts and of the last few sets of LoRAs.

    Equal texts are encoded once for all pictures; for a LoRA only its own weights are kept. LoRAs
    that replace weights of the model need as much memory as it, so only their last set is kept.
    """
    found = lru_cache(maxsize=64)(find_lora)

    def prepared(loras: tuple[Lora, ...]) -> tuple[Components, Encoder]:
        files = [found(lora.name) for lora in loras]
        for lora, file in zip(loras, files, strict=True):
            check_sha256(repr(lora.name), lora.sha256, file.sha256, what="LoRA")
        scales = [lora.scales if len(lora.scales) > 1 else lora.scale for lora in loras]
        wanted = adapted(components, list(zip(files, scales, strict=True)))
        return wanted, _encoder(wanted)

    small, large = lru_cache(maxsize=4)(prepared), lru_cache(maxsize=1)(prepared)

    def prepare(loras: tuple[Lora, ...]) -> tuple[Components, Encoder]:
        return (small if all(found(lora.name).ordinary for lora in loras) else large)(loras)

    @lru_cache(maxsize=1)
    def see(loras: tuple[Lora, ...], looks: tuple[Look, ...]) -> Module:
        return seeing(prepare(loras)[0].unet, looks)

    return LoadedModel(
        components=components,
        environment=environment_of(components),
        find_lora=found,
        own=own,
        prepare=prepare,
        refiner_encoder=_encoder(components.refiner or components),
        find_control=lru_cache(maxsize=64)(find_control),
        find_image_adapter=lru_cache(maxsize=8)(find_image_adapter),
        see=see,
    )


def _encoder(components: Components) -> Encoder:
    @lru_cache(maxsize=8)
    def encoder(words: Words) -> Encode:
        return lru_cache(maxsize=_TEXTS)(partial(encode_prompt, with_words(components, words)))

    return encoder


def environment_of(components: Components) -> Environment:
    """What the pictures' files record about the model."""
    return Environment(
        checkpoint=components.checkpoint,
        device=str(components.device),
        dtype=str(FP8 if components.fp8 else components.dtype).removeprefix("torch."),
        tf32=uses_tf32() if components.device.type == "cuda" else None,
        compile=components.compile,
    )
