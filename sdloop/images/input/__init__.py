"""Pictures that somebody brings: read whatever they are, fitted to a size. No torch in here."""
