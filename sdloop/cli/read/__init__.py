"""Code shared by the commands that read pictures and models."""
