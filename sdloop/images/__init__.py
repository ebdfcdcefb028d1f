"""Pictures that people bring, contact sheets, and how far pictures are apart. No torch."""
