"""Find embedding files: on disk, on the hub and on Civitai, by the names that LoRAs have too."""

import dataclasses

from sdloop.errors import SettingError
from sdloop.models.checkpoint.addresses import remote_address
from sdloop.models.checkpoint.file_at import file_at
from sdloop.prompt.learned.facts import EmbeddingFacts, embedding_facts
from sdloop.prompt.learned.grammar import SUFFIXES


def find_embedding(name: str, *, may_fetch: bool = True) -> EmbeddingFacts:
    """The facts about the embedding that ``name`` means; raises what ``embedding_path`` raises.

    Raises ``FileError`` if the file holds no embedding.
    """
    facts = embedding_facts(embedding_path(name, may_fetch=may_fetch))
    return dataclasses.replace(facts, file=name)


def embedding_path(name: str, *, may_fetch: bool = True) -> str:
    """The path of an embedding, downloaded if it is on the hub or on Civitai and not here yet.

    ``name`` is a path, ``owner/name/FILE`` or a web address. Raises ``ModelError`` for a file that
    cannot be downloaded, and ``SettingError`` for an address that is not of one file.
    """
    place = remote_address(name, endings=SUFFIXES)
    if place is None:
        return name
    path = file_at(place, may_fetch=may_fetch)
    if path is None:
        raise SettingError.of("embeddings", f"must be the address of one file, got {name!r}")
    return str(path)
