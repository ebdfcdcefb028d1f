"""Code shared by the commands that make pictures."""
