"""The page on which people browse a folder of pictures and pick some. No torch in here.

Only ``guard``, ``app`` and ``serve`` need a web framework; they are imported when a page is served.
"""
