"""From prompts to a ``Conditioning``, which holds the UNet's inputs besides latents and time."""
