"""Many pictures: what is planned, what is there already, and what makes the rest.

No torch in here until the first picture is made: a plan that is finished ends without it.
"""
