"""Read the metadata of other programs: one module for each."""
