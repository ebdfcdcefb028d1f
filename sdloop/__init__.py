"""sdloop: pictures from text with a sampling loop one can read."""
