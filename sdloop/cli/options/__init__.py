"""The flags of commands, in groups."""
