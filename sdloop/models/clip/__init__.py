"""CLIP: scores for how well pictures fit texts, and gradients for loss guidance."""
