"""Where pictures are written and read: folders of this computer, and object stores.

Both are a ``pathlib.Path``, so that whatever reads, names or lists a file need not know which of
the two it has. Files are written by ``metadata.atomic``.
"""
