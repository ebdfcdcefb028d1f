"""The client's side of a call, with a fake worker that sends prepared messages."""

import socket

from sdloop.worker.call import _Conversation
from sdloop.worker.messages import Call, Done, Line, Streams, Waiting
from sdloop.worker.options import worker_options


def test_the_streams_are_handed_over_once() -> None:
    """A worker keeps what it is given open, and with it the pipe that somebody reads to its end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX)
    worker, wanted = Line(theirs), worker_options(["txt2img", "a frog"], {})
    assert wanted is not None
    for message in (Waiting(place=0), Waiting(place=0), Done(code=0)):
        worker.send(message)
    assert _Conversation(Line(ours), wanted).end(["txt2img", "a frog"]) == 0
    ours.close()
    heard = []
    while (message := worker.receive_with(4)[0]) is not None:
        heard.append(type(message))
    assert heard == [Call, Streams]
