"""The untrained parts of the embedded model and the CLIP beside it: Stable Diffusion's classes,
made small."""

from diffusers import AutoencoderKL, ControlNetModel, DDPMScheduler, UNet2DConditionModel
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    CLIPVisionConfig,
)

LATENT_CHANNELS = 4
TEXT_WIDTH = 128
LINES = (8, 16, 32, 64)
"""Channels of a ControlNet's view of the sketch, each level half the side of the one before."""


def make_vae(size: int, channels: tuple[int, ...]) -> AutoencoderKL:
    """Pictures of ``size`` pixels to latents and back; each level after the first halves the
    side."""
    return AutoencoderKL(
        block_out_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * len(channels),
        up_block_types=("UpDecoderBlock2D",) * len(channels),
        layers_per_block=1,
        latent_channels=LATENT_CHANNELS,
        norm_num_groups=8,
        mid_block_add_attention=False,
        sample_size=size,
    )


def factor_of(vae: AutoencoderKL) -> int:
    """Pixels per latent along a side."""
    return 2 ** (len(vae.config.block_out_channels) - 1)


def make_text_encoder(tokenizer: CLIPTokenizer, layers: int) -> CLIPTextModel:
    """CLIP's text model for this tokenizer; its pooled output finds the end of the text by
    ``eos_token_id``."""
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=TEXT_WIDTH,
        intermediate_size=4 * TEXT_WIDTH,
        projection_dim=TEXT_WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=4,
        max_position_embeddings=tokenizer.model_max_length,
        hidden_act="quick_gelu",
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def make_clip(text_encoder: CLIPTextModel, *, size: int, width: int, layers: int) -> CLIPModel:
    """A CLIP whose text tower is this text encoder, and whose pictures of ``size`` pixels are seen
    as 8 x 8 patches."""
    vision = CLIPVisionConfig(
        hidden_size=width,
        intermediate_size=4 * width,
        num_hidden_layers=layers,
        num_attention_heads=width // 48,
        image_size=size,
        patch_size=size // 8,
        projection_dim=TEXT_WIDTH,
    )
    text = text_encoder.config.to_diff_dict()
    config = CLIPConfig(
        text_config={name: text[name] for name in text if name != "_name_or_path"},
        vision_config=vision.to_dict(),
        projection_dim=TEXT_WIDTH,
    )
    clip = CLIPModel(config)
    clip.text_model.load_state_dict(text_encoder.state_dict())
    return clip


def make_unet(latent_size: int, channels: tuple[int, ...]) -> UNet2DConditionModel:
    """The denoiser; it reads the text at its two lower levels and in the middle.

    ``attention_head_dim`` is the number of heads, as in Stable Diffusion 1's own config (a slip
    that diffusers keeps).
    """
    return UNet2DConditionModel(
        sample_size=latent_size,
        in_channels=LATENT_CHANNELS,
        out_channels=LATENT_CHANNELS,
        block_out_channels=channels,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=TEXT_WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


def make_control(unet: UNet2DConditionModel, factor: int) -> ControlNetModel:
    """A ControlNet for a UNet, whose pictures have ``factor`` pixels per latent along a side.

    It begins with the UNet's own layers, as the paper has it, but for the attention: lines say the
    same whatever the prompt is, and without it the file is half as large.
    """
    names = (
        "in_channels", "flip_sin_to_cos", "freq_shift", "block_out_channels", "layers_per_block",
        "norm_num_groups", "cross_attention_dim", "attention_head_dim",
    )  # fmt: skip
    control = ControlNetModel(
        **{name: unet.config[name] for name in names},
        down_block_types=("DownBlock2D",) * len(unet.config.block_out_channels),
        mid_block_type="UNetMidBlock2D",
        conditioning_embedding_out_channels=LINES[: factor.bit_length()],
    )
    own = control.state_dict()
    control.load_state_dict(own | {n: v for n, v in unet.state_dict().items() if n in own})
    return control


def make_noise_schedule() -> DDPMScheduler:
    """Betas in a straight line from 0.0001 to 0.02, and a UNet that predicts v.

    Stable Diffusion's own ``scaled_linear`` leaves some of the picture in the last step's noise.
    On latents this small that is enough to give the mean colour away, which the model would then
    never learn to choose. Here the last step has a signal of 0.6 %, and v (Salimans & Ho 2022,
    arXiv:2202.00512) stays well scaled there where epsilon would not.
    """
    return DDPMScheduler(
        beta_schedule="linear",
        beta_start=0.0001,
        beta_end=0.02,
        prediction_type="v_prediction",
        clip_sample=False,
    )
