"""Pictures: those that people bring, contact sheets, and how far two pictures are apart. No torch."""
