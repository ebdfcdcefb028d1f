"""The warm worker: a process that keeps a model loaded, and the light client that sends it calls.

``call`` is the client, which needs only the standard library; the worker itself is
``sdloop.cli.server``. They exchange the messages of ``messages`` over a socket, whose path comes
from ``place``. The client also passes its standard streams and its folder as file descriptors, and
the worker runs the same command line with them: so a call prints, writes and fails exactly as it
does without a worker.
"""
