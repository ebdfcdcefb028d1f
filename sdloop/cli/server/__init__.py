"""The worker process: it keeps a model loaded and runs the user's calls one after the other."""
