"""Read animations frame by frame, and write them with their Recipe. Does not import torch."""
