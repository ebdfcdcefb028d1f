"""What is written to the terminal: results, messages, progress, previews, interrupts."""
