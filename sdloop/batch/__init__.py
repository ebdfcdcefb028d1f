"""Many pictures: what is planned, what is there already, and what makes the rest.

No torch in here until the first picture is made: a plan that is finished ends without it.
"""

from sdloop.batch.planned import ModelNames, Planned, model_of

__all__ = ["ModelNames", "Planned", "model_of"]
