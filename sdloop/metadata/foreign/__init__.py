"""What other programs write into their pictures, read: one file for each."""
