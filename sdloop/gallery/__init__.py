"""Pictures in a folder, looked through and picked in a browser of this machine. No torch in here.

Only ``guard``, ``app`` and ``serve`` need a web framework, and are imported where a page is served.
"""
