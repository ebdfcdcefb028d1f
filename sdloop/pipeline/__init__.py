"""From Recipes and a model to pictures. Every command ends in ``generate``."""
