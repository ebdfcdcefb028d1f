"""Many pictures: what is planned, what is there already, and what makes the rest.

No torch in here until the first picture is made: a plan that is finished ends without it.
"""

from sdloop.batch.finish import Failed, Means, There, Written
from sdloop.batch.keys import Keys
from sdloop.batch.planned import ModelNames, Planned, model_of
from sdloop.batch.run import Outcome, RunOptions, run

__all__ = [
    "Failed",
    "Keys",
    "Means",
    "ModelNames",
    "Outcome",
    "Planned",
    "RunOptions",
    "There",
    "Written",
    "model_of",
    "run",
]
