"""Chromium as Debian packages it, driven by Playwright, with an eye on all that a page does."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ARGUMENTS = [
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"desktop": (1100, 800), "phone": (360, 740)}
PATIENCE_MS = 60_000

# Text whose colour is less than 4.5 times as light or dark as what is behind it (WCAG 2, AA). A
# canvas turns every way to write a colour into red, green and blue.
FAINT_TEXT = """
() => {
  const pen = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const channels = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return [...pen.getImageData(0, 0, 1, 1).data];
  };
  const lightness = ([red, green, blue]) => {
    const linear = [red, green, blue].map((value) => {
      const share = value / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const behind = (element) => {
    for (let each = element; each !== null; each = each.parentElement) {
      const colour = channels(getComputedStyle(each).backgroundColor);
      if (colour[3] === 255) return colour;
    }
    return [255, 255, 255, 255];
  };
  const faint = [];
  for (const element of document.querySelectorAll("body *:not(script, style, svg *)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
    const isShown = element.checkVisibility() && element.getBoundingClientRect().width > 1;
    if ((own || element.matches("input, textarea, select")) && isShown) {
      const lights = [getComputedStyle(element).color, behind(element)].map((colour) =>
        lightness(typeof colour === "string" ? channels(colour) : colour));
      const ratio = (Math.max(...lights) + 0.05) / (Math.min(...lights) + 0.05);
      if (ratio < 4.5) faint.push(`${ratio.toFixed(2)} ${element.outerHTML.slice(0, 120)}`);
    }
  }
  return faint;
}
"""


class Visit:
    """A person at one window, and what went on behind the page."""

    def __init__(self, page: Any, url: str, look: str) -> None:
        self.page = page
        self.url = url
        self.look = look
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.set_default_timeout(PATIENCE_MS)
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, message: Any) -> None:
        # A refusal is an answer like others; Chromium logs each that is not 200.
        if message.type != "info" and not message.text.startswith("Failed to load resource"):
            self.complaints.append(f"{message.type}: {message.text}")

    def open(self, fragment: str = "") -> None:
        """Go to the page as one who has the address."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.url}/{fragment}")

    def choose(self, view: str) -> None:
        """Go to a view by its link."""
        self.page.get_by_role("navigation").get_by_role("link", name=view, exact=True).click()
        self.page.get_by_role("heading", name=view, exact=True).wait_for()

    def field(self, label: str) -> Any:
        return self.page.get_by_label(label, exact=True)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def said(self) -> str:
        """The sentence above the answer, once there is one."""
        self.page.locator("#status:not(:empty):has(+ #result:not([aria-busy]))").wait_for()
        return str(self.page.locator("#status").inner_text())

    def refusal(self) -> str:
        """The sentence that stands for an answer."""
        self.page.locator("#error:not([hidden])").wait_for()
        return str(self.page.locator("#error").inner_text())

    def bars(self) -> list[tuple[str, str]]:
        """Names and shares."""
        rows = self.page.locator(".bars li").all()
        return [
            (row.locator(".name").inner_text(), row.locator(".share").inner_text()) for row in rows
        ]

    def cells(self) -> list[list[float]]:
        """The numbers of the table of similarities."""
        rows = self.page.locator(".heat tbody tr").all()
        return [[float(x) for x in row.locator("td").all_inner_texts()] for row in rows]

    def check_look(self, name: str) -> None:
        """Keep a picture, and see that all is to be read and within the window."""
        self.page.mouse.move(0, 0)
        self.page.screenshot(path=screenshot_path(f"{name}-{self.look}"), full_page=True)
        width, window = self.page.evaluate(
            "() => [document.documentElement.scrollWidth, document.documentElement.clientWidth]"
        )
        assert width <= window, f"{name} is {width} wide in a window of {window}"
        assert self.page.evaluate(FAINT_TEXT) == []

    def check_manners(self) -> None:
        """See that the page complained of nothing and asked this server alone."""
        assert self.complaints == []
        others = [
            each for each in self.requests if not re.match(rf"{self.url}/|data:|about:", each)
        ]
        assert others == []


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """A browser with an empty profile."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = shutil.which("chromium")
    if path is None:
        pytest.skip("Chromium is not installed (Debian's package chromium)")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@contextlib.contextmanager
def visiting(
    browser: Any, url: str, size: str = "desktop", scheme: str = "light"
) -> Iterator[Visit]:
    """A window of that size and colour scheme, in which nobody has been before."""
    width, height = SIZES[size]
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme=scheme,
        reduced_motion="reduce",
        has_touch=size == "phone",
    )
    visit = Visit(context.new_page(), url, f"{size}-{scheme}")
    yield visit
    visit.check_manners()
    context.close()


def screenshot_path(name: str) -> Path:
    """Where pictures are kept to be looked at."""
    default = Path(__file__).parents[2] / "build" / "screenshots"
    folder = Path(os.environ.get("BERTSMITH_SCREENSHOTS", default))
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{name}.png"
