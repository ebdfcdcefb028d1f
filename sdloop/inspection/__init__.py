"""Show what happens inside the model and the loop, as numbers and figures."""
