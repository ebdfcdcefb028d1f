"""A headless Chromium, or the reason to skip if none is installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's ``Browser``: of the program in ``SDLOOP_CHROMIUM``, on the path, or its own."""
    api = pytest.importorskip("playwright.sync_api", reason="pip install 'sdloop[test]'")
    named = os.environ.get("SDLOOP_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    # As root, in a container, Chromium has no sandbox; the pages here are our own.
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        try:
            browser = playwright.chromium.launch(executable_path=named, args=arguments)
        except api.Error as error:
            if named is None:
                pytest.skip("no Chromium: apt-get install chromium, or playwright install chromium")
            raise AssertionError(f"{named} does not start: {error}") from error
        yield browser
        browser.close()
