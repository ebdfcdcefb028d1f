"""Latents: seeded noise, the VAE's two directions, and masks."""
