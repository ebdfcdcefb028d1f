"""Read and write picture files with the Recipe in their metadata. Does not import torch."""
