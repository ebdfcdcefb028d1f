"""What the commands that read pictures and models share."""
