"""Textual inversion: a new word is learned from pictures, and nothing else of the model changes.

A few vectors in the place of a word are moved until the model, told "a picture of a <my-frog>",
takes the noise off those pictures as well as it can. Its weights stay as they are.

Source: Gal et al. 2022 (arXiv:2208.01618).
"""
