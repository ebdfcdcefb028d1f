"""The comment in a picture's EXIF, as text: its first eight bytes should name its encoding.

Many programs leave that name out, or write another encoding than they name. So the bytes decide:
a byte order mark, or zeros where UTF-16 has them, or that they are valid UTF-8.
"""

import codecs

UNICODE = b"UNICODE\0"
_CODES = (UNICODE, b"ASCII\0\0\0", b"JIS\0\0\0\0\0", b"\0" * 8)
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def comment_text(data: bytes) -> str:
    """The text of a comment; what no encoding fits is replaced, letter by letter.

    >>> comment_text(b"ASCII\\0\\0\\0a frog"), comment_text(b"a frog\\0")
    ('a frog', 'a frog')
    """
    code = next((one for one in _CODES if data.startswith(one)), b"")
    body = data[len(code) :]
    for mark, encoding in _MARKS:
        if body.startswith(mark):
            return _decoded(body.removeprefix(mark), encoding)
    return _decoded(body, _encoding(body, code))


def _encoding(body: bytes, code: bytes) -> str:
    """The encoding of what has no mark.

    A1111 writes UTF-16 with the high byte first, whatever the order of the rest of the EXIF; other
    programs follow that order. Plain words, whose high bytes are 0, tell the two apart.
    """
    body = body.rstrip(b"\0")  # an end mark, or padding
    high, low = body[0::2].count(0), body[1::2].count(0)
    if high or low:
        few = max(high, low) * 4 < len(body) and code != UNICODE
        return "utf-8" if few else "utf-16-le" if low > high else "utf-16-be"
    if _is_utf8(body):
        return "utf-8"
    return {UNICODE: "utf-16-be", _CODES[2]: "shift_jis"}.get(code, "latin-1")


def _is_utf8(body: bytes) -> bool:
    try:
        body.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def _decoded(body: bytes, encoding: str) -> str:
    return body.decode(encoding, "replace").rstrip("\0")
