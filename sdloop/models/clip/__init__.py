"""How well pictures fit texts, as a CLIP has it: numbers to sort by, and gradients to steer by."""
