"""Schedulers: their names, their steps, optimisers used as schedulers, and Align Your Steps."""
