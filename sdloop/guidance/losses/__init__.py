"""Losses on the picture that steer the loop: what they measure, and how they pull."""
