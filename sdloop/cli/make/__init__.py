"""What the commands that make pictures share."""
