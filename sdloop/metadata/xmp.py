"""XMP, the XML metadata of a picture: the label of generated pictures, and others' comments.

The law of the European Union (Regulation 2024/1689, article 50) asks for a mark that machines can
read. It is IPTC's "Digital Source Type", which search engines and photo programs know.

Sources: https://cv.iptc.org/newscodes/digitalsourcetype for the two terms and their definitions;
Adobe's XMP Specification, parts 1 and 3, for the packet and its place in each format. Draw Things
writes its settings into the comment.
"""

import html
import re
from collections.abc import Mapping

PNG_KEYWORD = "XML:com.adobe.xmp"
JPEG_MARK = b"http://ns.adobe.com/xap/1.0/\0"

# "Created using Generative AI"
_GENERATED = "trainedAlgorithmicMedia"
# "Edited using Generative AI": changes to other media, as by inpainting or outpainting
_EDITED = "compositeWithTrainedAlgorithmicMedia"
_PACKET = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
<Iptc4xmpExt:DigitalSourceType>http://cv.iptc.org/newscodes/digitalsourcetype/%s\
</Iptc4xmpExt:DigitalSourceType>
</rdf:Description>
</rdf:RDF>
</x:xmpmeta>
<?xpacket end="r"?>"""

# No XML parser, because the file is not trusted: a parser would expand its entities.
_COMMENT = re.compile(
    r"<exif:UserComment>(?:\s*<rdf:Alt>\s*<rdf:li[^>]*>)?([^<]*)<|exif:UserComment=\"([^\"]*)\""
)


def label(*, edited: bool) -> dict[str, str]:
    """The text that says that a picture is generated, or ``edited`` from another one."""
    return {PNG_KEYWORD: _PACKET % (_EDITED if edited else _GENERATED)}


def packet(texts: Mapping[str, str]) -> bytes:
    """The packet among ``texts``, for formats that have a place of its own for it."""
    return texts.get(PNG_KEYWORD, "").encode()


def xmp_comment(xml: str) -> str | None:
    """The comment in an XMP packet, if it has one.

    >>> xmp_comment('<x exif:UserComment="a &lt;b&gt;"/>')
    'a <b>'
    """
    found = _COMMENT.search(xml)
    return html.unescape(found[1] or found[2] or "") if found else None
