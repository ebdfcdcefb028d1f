"""Decode the comment in a picture's EXIF. Its first eight bytes should name the encoding.

Many programs leave out that name, or use another encoding than they name. So the encoding is
detected: by a byte order mark, by zero bytes as in UTF-16, or because the text is valid UTF-8.
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
    """Decode a comment; invalid bytes are replaced.

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
    """Detect the encoding of a text without a byte order mark.

    A1111 always writes big-endian UTF-16; other programs use the byte order of the EXIF. ASCII
    letters, whose high bytes are 0, show which one it is.
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
