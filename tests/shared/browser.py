"""Debian's Chromium for tests, and an app served to it on loopback."""

import contextlib
import shutil
import threading
import time
from collections.abc import Iterator

import pytest
import uvicorn
from axe_playwright_python.sync_playwright import Axe
from litestar import Litestar
from playwright.sync_api import Browser, Page, sync_playwright

NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first is Chromium without its windows, which takes a third less of the processor."""
CHROMIUM = next(filter(None, map(shutil.which, NAMES)), None)
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]
AXE = {
    "runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"],
    "resultTypes": ["violations"],  # what passes is counted, not written down element by element
}
PHONE = {"width": 390, "height": 844}
DESKTOP = {"width": 1280, "height": 900}


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A headless Chromium; the test is skipped, and says so, on a machine without it."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@pytest.fixture(scope="class")
def one_chromium() -> Iterator[Browser]:
    """One Chromium for a class of tests, for its launch takes as long as many of them.

    It brings a loop of its own, so that no other test of the class may have one.
    """
    with chromium() as browser:
        yield browser


@pytest.fixture
def browser(one_chromium: Browser) -> Iterator[Browser]:
    """A browser that knows nobody: who visited leaves with the test."""
    with among_strangers(one_chromium):
        yield one_chromium


@contextlib.contextmanager
def among_strangers(browser: Browser) -> Iterator[None]:
    """In the end whoever visited leaves."""
    try:
        yield
    finally:
        for context in browser.contexts:
            context.close()


@contextlib.contextmanager
def served(app: Litestar) -> Iterator[str]:
    """Serve an app from a thread on a free port of loopback; yields its address."""
    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while not server.started:
        assert time.monotonic() < deadline, "the app did not start"
        time.sleep(0.02)
    port = server.servers[0].sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join(timeout=10)


def accessible(tab: Page) -> None:
    """Fail with axe's report where the page breaks WCAG 2.2 A or AA."""
    results = Axe().run(tab, options=AXE)
    assert results.violations_count == 0, f"{tab.url}: {results.generate_report()}"
