"""The warm worker: a process that keeps a model, and the light client that hands calls to it.

``call`` is the client's side, standard library only; ``serve`` is the worker's. Between them go the
messages of ``messages``, over a socket that lies where ``place`` says, and the caller's own
standard streams and folder, as file descriptors: the worker runs the very same command line in
their midst, so that a call prints, writes and fails as it does without a worker.
"""
