"""Input pictures, contact sheets, and the comparison of pictures. No torch in here."""
