"""Files that hold a picture and the Recipe that made it. No torch in here."""

from sdloop.png.picture import check_output, format_of, read_record, write_picture
from sdloop.png.record import METADATA, Made, Metadata, Record, texts_of

__all__ = [
    "METADATA",
    "Made",
    "Metadata",
    "Record",
    "check_output",
    "format_of",
    "read_record",
    "texts_of",
    "write_picture",
]
