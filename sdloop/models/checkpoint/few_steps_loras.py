"""Recognise LoRAs that were distilled for a few steps, by hash, name or metadata.

Their tensors do not tell them apart: LCM-LoRA trains the same layers as other LoRAs of
convolutions. A file of unknown content is recognised only by what it is called.
"""

from collections.abc import Iterable, Mapping

from sdloop.models.checkpoint.few_steps import published_stem, sounds_like

# sha256 of the published files → their preset, as public lists of models have them: the MIR
# database, and that of refiners' conversion tools.
HASHES: Mapping[str, str] = {
    # latent-consistency/lcm-lora-sdv1-5, -sdxl and -ssd-1b; segmind/Segmind-VegaRT
    "8f90d840e075ff588a58e22c6586e2ae9a6f7922996ee6649a7f01072333afe4": "lcm",
    "a764e6859b6e04047cd761c08ff0cee96413a8e004c9f07707530cd776b19141": "lcm",
    "7adaaa69db6f011058a19fd1d5315fdf19ef79fcd513cdab30e173833fd5c59b": "lcm",
    "9b6e8cd833fa205eaeeed391ca623a6f2546e447470bd1c5dcce3fa8d2f26afb": "lcm",
    # ByteDance/SDXL-Lightning
    "bf56cf2657efb15e465d81402ed481d1e11c4677e4bcce1bc11fe71ad8506b79": "lightning:4",
    # ByteDance/Hyper-SD: Hyper-SD15-…, then Hyper-SDXL-…
    "a04fd9a535c1e56d38f7590ee72a13fd5ca0409853b4fff021e5a9482cf1ca3b": "hyper:1",
    "2f26dcc1d883feb07557a552315baae2ca2a04ac08556b08a355a244547e8c3a": "hyper:2",
    "c5dd058616461ed5053e2b14eec4dbe3fa0eea3b13688642f6d6c80ea2ba5958": "hyper:4",
    "91fc3186236e956d64dbb4357f2e120c69b968b78af7d2db9884a5ca74d3cd13": "hyper:8",
    "64b98437383537cd968fda6f87a05c33160ece9c79ff4757949a1e212ff78361": "hyper:12",
    "c912df184c5116792d2c604d26c6bc2aa916685f4a793755255cda1c43a3c78a": "hyper:1",
    "69b25c0187ced301c3603c599c0bc509ac99b8ac34db89a2aecc3d5f77a35187": "hyper:2",
    "12f81a27d00a751a40d68fd15597091896c5a90f3bd632fb6c475607cbdad76e": "hyper:4",
    "ca689190e8c46038550384b5675488526cfe5a40d35f82b27acb75c100f417c1": "hyper:8",
    "0b97f447b5878323a28fbe7c51ba7acebd21f4d77552ba77b04b11c8911825b6": "hyper:12",
}

# Where programs for training and for sharing write a LoRA's name.
_TITLES = ("modelspec.title", "ss_output_name", "name")


def lora_preset(
    names: Iterable[str], notes: Mapping[str, str], sha256: str
) -> tuple[str, str] | None:
    """The preset for a LoRA and how it is known, or None for an ordinary LoRA.

    ``names`` are what the user calls it, and its file's name; ``notes`` is its metadata.

    >>> lora_preset(["latent-consistency/lcm-lora-sdxl", "pytorch_lora_weights"], {}, "")
    ('lcm', 'name')
    """
    if sha256 in HASHES:
        return HASHES[sha256], "hash"
    by_name = sounds_like(map(published_stem, names))
    if by_name is not None:
        return by_name, "name"
    titles = sounds_like(notes[title] for title in _TITLES if title in notes)
    return None if titles is None else (titles, "metadata")
