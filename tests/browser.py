"""Headless Chromium for tests that read the page as people do; its fixtures are known to every test (see conftest).

A page that writes to the console, throws, opens a dialog or asks for anything but itself fails the test that opened it.
Where there is no Chromium the tests are skipped with that reason; with HARNESS_REQUIRE_BROWSER=1 they fail.
"""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

DESKTOP, PHONE = (1440, 900), (390, 844)
_NAMES = ("chromium", "chromium-browser", "google-chrome")

# Scrolls sideways: the document itself, not a table or picture in its own scrolling box. On a phone a page that is too
# wide is shown smaller, which widens the layout viewport too; the screen stays as wide as it is.
_OVERFLOW = "() => document.documentElement.scrollWidth - Math.min(screen.width, document.documentElement.clientWidth)"


@pytest.fixture(scope="module")  # not the session: while it is open no other test of the process can run an event loop
def browser() -> Iterator[Any]:
    """A running Chromium."""
    chromium = next(filter(None, map(shutil.which, _NAMES)), None)
    if chromium is None:
        absent = "no Chromium here: apt-get install chromium"
        if os.environ.get("HARNESS_REQUIRE_BROWSER") == "1":
            pytest.fail(absent)
        pytest.skip(absent)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        running = playwright.chromium.launch(executable_path=chromium, args=root)
        yield running
        running.close()


Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any) -> Iterator[Opener]:
    """Opens a file as a page: `open_page(path, PHONE, scheme="dark", scripts=False, address="#mode=native")`."""
    contexts, faults = [], []

    def open_(
        path: Path,
        size: tuple[int, int] = DESKTOP,
        scheme: str = "light",
        scripts: bool = True,
        address: str = "",
        **options: Any,
    ) -> Any:
        url = path.resolve().as_uri()
        context = browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            screen={"width": size[0], "height": size[1]},
            is_mobile=size == PHONE,
            has_touch=size == PHONE,
            color_scheme=scheme,
            java_script_enabled=scripts,
            offline=True,
            **{"reduced_motion": "reduce", **options},
        )
        contexts.append(context)
        context.set_default_timeout(10_000)

        def requested(request: Any) -> None:
            if request.url.partition("#")[0] != url and not request.url.startswith("data:"):
                faults.append(f"asked for {request.url[:200]}")

        def told(message: Any) -> None:
            if message.type in ("error", "warning"):
                faults.append(f"console: {message.text[:500]}")

        def asked(dialog: Any) -> None:
            faults.append(f"dialog: {dialog.message[:200]}")
            dialog.dismiss()

        context.on("request", requested)
        context.on("weberror", lambda error: faults.append(f"threw: {str(error.error)[:500]}"))
        page = context.new_page()
        context.on("page", lambda popup: faults.append(f"opened {popup.url[:200]}"))
        page.on("console", told)
        page.on("dialog", asked)
        page.goto(url + address)
        return page

    open_.faults = faults  # type: ignore[attr-defined]
    yield open_
    for context in contexts:
        context.close()
    assert not faults, "\n".join(faults)


def violations(page: Any) -> list[str]:
    """What axe-core finds against accessibility, one line an element."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary'][:300]}" for rule in found for node in rule["nodes"]
    ]


def sideways(page: Any) -> int:
    """By how many pixels the page is wider than the screen."""
    return int(page.evaluate(_OVERFLOW))
