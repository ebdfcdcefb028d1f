"""The grammar of prompts: weights, changes during the steps, combined prompts. No torch in here.

A prompt is parsed in A1111's order: first ``parts`` (AND), then the ``alternatives`` of each part
(its text at each step), then the ``emphasised`` spans of each text.
"""
