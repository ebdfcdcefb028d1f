"""Schedulers: their names, their steps, optimisers that act as one, and Align Your Steps."""
