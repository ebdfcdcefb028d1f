"""transformers' models that look at pictures, tiny and random, in the layout of published ones."""

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    DepthAnythingConfig,
    DepthAnythingForDepthEstimation,
    Dinov2Config,
    DPTConfig,
    DPTForDepthEstimation,
    VitPoseBackboneConfig,
    VitPoseConfig,
    VitPoseForPoseEstimation,
)

from helpers.tiny import VOCABULARY, WORDS, tiny_clip_config, tiny_tokenizer, write_json

# As in CIDAS/clipseg-rd64-refined, which was published in 2022; the size is smaller.
_PREPARED = {
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "ViTFeatureExtractor",
    "image_mean": [0.485, 0.456, 0.406],
    "image_std": [0.229, 0.224, 0.225],
    "resample": 2,
    "size": 64,
}


def save_clipseg(folder: Path, seed: int = 0, **options: Any) -> Path:
    """A CLIPSeg that looks at 64x64 pixels, and is neither sure nor at a loss."""
    clip = tiny_clip_config().to_dict()
    vision = {**clip["vision_config"], "num_hidden_layers": 4}
    config = CLIPSegConfig(
        text_config={**clip["text_config"], "model_type": "clipseg_text_model"},
        vision_config={**vision, "model_type": "clipseg_vision_model"},
        **{"projection_dim": 16, "reduce_dim": 16, "extract_layers": [1, 2, 3], **options},
        decoder_num_attention_heads=4,
        decoder_intermediate_size=32,
        use_complex_transposed_convolution=True,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIPSegForImageSegmentation(config)
    with torch.no_grad():
        model.decoder.transposed_convolution[-1].weight *= 0.01
    model.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    weights["clip.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    write_json(folder / "preprocessor_config.json", _PREPARED)
    _save_words(folder)
    return folder


def _save_words(folder: Path) -> None:
    """The vocabulary in two files, as before transformers 5."""
    write_json(folder / "vocab.json", tiny_tokenizer().get_vocab())
    lines = (VOCABULARY / "merges.txt").read_text(encoding="utf-8").splitlines()
    (folder / "merges.txt").write_text("\n".join(lines[: WORDS - 512 + 1]), encoding="utf-8")
    write_json(folder / "tokenizer_config.json", {"model_max_length": 77})


def save_depth_model(folder: Path, kind: str = "depth_anything", seed: int = 0) -> Path:
    """A Depth Anything or a DPT that looks at pictures of about 28x28 pixels."""
    shared = {"reassemble_hidden_size": 16, "neck_hidden_sizes": [8, 16, 24, 32]}
    shared |= {"fusion_hidden_size": 16}
    backbone = {"hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if kind == "dpt":
            sizes = {"image_size": 32, "patch_size": 8, "intermediate_size": 32}
            layers = {"backbone_out_indices": [0, 1, 2, 3]}
            config = DPTConfig(**backbone, **sizes, **layers, **shared)
            model: Any = DPTForDepthEstimation(config)
        else:
            stages = {"out_indices": [1, 2, 3, 4], "apply_layernorm": True}
            seen = {"image_size": 28, "patch_size": 7, "reshape_hidden_states": False}
            dino = Dinov2Config(**backbone, **seen, **stages)
            config = DepthAnythingConfig(
                backbone_config=dino, patch_size=7, head_hidden_size=8, **shared
            )
            model = DepthAnythingForDepthEstimation(config)
    model.save_pretrained(folder)
    side = 32 if kind == "dpt" else 28
    # As in the folders of Depth Anything V2, but for the size.
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_normalize": True, "do_pad": False, "do_rescale": True, "do_resize": True,
            "ensure_multiple_of": 8 if kind == "dpt" else 7, "keep_aspect_ratio": kind != "dpt",
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
            "image_processor_type": "DPTImageProcessor", "resample": 3,
            "rescale_factor": 1 / 255, "size": {"height": side, "width": side},
        },
    )  # fmt: skip
    return folder


def save_pose_model(folder: Path, seed: int = 0, points: int = 17, experts: int = 1) -> Path:
    """A VitPose that looks at 48x64 pixels, and is sure of all that it finds."""
    backbone = VitPoseBackboneConfig(
        image_size=(64, 48), patch_size=(16, 16), hidden_size=16, num_hidden_layers=2,
        num_attention_heads=2, num_experts=experts, part_features=4, out_indices=[2],
    )  # fmt: skip
    config = VitPoseConfig(backbone_config=backbone, num_labels=points)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = VitPoseForPoseEstimation(config)
        # Each point is somewhere else, as where a person stands.
        torch.nn.init.normal_(model.head.conv.weight, std=0.05)
        torch.nn.init.ones_(model.head.conv.bias)
    model.save_pretrained(folder)
    # As in the folder of usyd-community/vitpose-base-simple, but for the size.
    write_json(
        folder / "preprocessor_config.json",
        {
            "do_affine_transform": True, "do_normalize": True, "do_rescale": True,
            "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225],
            "image_processor_type": "VitPoseImageProcessor", "normalize_factor": 200.0,
            "rescale_factor": 1 / 255, "size": {"height": 64, "width": 48},
        },
    )  # fmt: skip
    return folder
