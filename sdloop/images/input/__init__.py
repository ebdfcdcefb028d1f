"""Input pictures: read from any format, and fitted to a size. No torch in here."""
