"""The worker's side: one process that keeps a model and runs the calls of its user in turn."""
