"""Losses on the predicted picture that steer the loop: how they are computed and applied."""
