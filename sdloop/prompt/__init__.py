"""The grammar of prompts: weights, changes on the way, prompts in one. No torch in here.

A prompt is read in A1111's order: ``parts`` (AND), of each part the ``alternatives`` (what it is at
which step), of each of these what is ``emphasised``.
"""
