"""What the tests of Ray that need several computers share."""

from collections.abc import Iterator

import pytest
from helpers.computers import Computers, several_computers
from helpers.s3_server import Bucket, s3_bucket


@pytest.fixture(scope="module")
def store() -> Iterator[Bucket]:
    with pytest.MonkeyPatch.context() as patch, s3_bucket(patch) as bucket:
        yield bucket


@pytest.fixture(scope="module")
def computers(store: Bucket) -> Iterator[Computers]:
    with several_computers() as computers:
        yield computers
