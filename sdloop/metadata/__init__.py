"""What a picture file says, in text, about how it was made."""
