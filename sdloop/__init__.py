"""sdloop: pictures from text, with a sampling loop that one can read in one sitting."""
