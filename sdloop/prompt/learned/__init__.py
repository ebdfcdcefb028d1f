"""Learned words (textual inversion files) and replaced words in prompts. No torch in here."""
