"""Textual inversion: learn a new word from pictures, without changing the model's weights.

The word is a few vectors in place of token embeddings. They are optimised until the model, with
the prompt "a picture of a <my-frog>", denoises those pictures as well as possible.

Source: Gal et al. 2022 (arXiv:2208.01618).
"""
