"""A model on disk: found, recognised, told about and hashed, not loaded. No torch in here."""
