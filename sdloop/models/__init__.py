"""Models: found on disk or on the hub (``checkpoint``), loaded (``components``), and CLIP."""
