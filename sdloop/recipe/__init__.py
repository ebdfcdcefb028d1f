"""The Recipe: every setting that decides the pixels of one picture, and nothing else."""
