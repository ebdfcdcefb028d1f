"""Files that hold a picture and the Recipe that made it. No torch in here."""
