"""Read the comment in XMP, the XML metadata of a picture. Draw Things writes its settings there."""

import html
import re

PNG_KEYWORD = "XML:com.adobe.xmp"
JPEG_MARK = b"http://ns.adobe.com/xap/1.0/\0"

# No XML parser, because the file is not trusted: a parser would expand its entities.
_COMMENT = re.compile(
    r"<exif:UserComment>(?:\s*<rdf:Alt>\s*<rdf:li[^>]*>)?([^<]*)<|exif:UserComment=\"([^\"]*)\""
)


def xmp_comment(xml: str) -> str | None:
    """The comment in an XMP packet, if it has one.

    >>> xmp_comment('<x exif:UserComment="a &lt;b&gt;"/>')
    'a <b>'
    """
    found = _COMMENT.search(xml)
    return html.unescape(found[1] or found[2] or "") if found else None
