"""What the inspect commands compute and draw, one file per command."""
