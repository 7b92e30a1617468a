"""The page is one answer that needs nothing else, and may do no more than it must."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import httpx2
import pytest
from tests.serving.conftest import Serve, error_of

from bertsmith.serving import playground
from bertsmith.serving.playground import SCRIPTS, build_playground

pytestmark = pytest.mark.anyio


@pytest.fixture
async def page(serve: Serve) -> httpx2.Response:
    async with serve("base") as client:
        return await client.get("/")


def within(tag: str, html: str) -> str:
    """What stands in the one element of this name."""
    (found,) = re.findall(rf"<{tag}[^>]*>(.*?)</{tag}>", html, re.DOTALL)
    return str(found)


def policy_of(page: httpx2.Response) -> dict[str, str]:
    parts = page.headers["Content-Security-Policy"].split("; ")
    return {name: rest for name, _, rest in (part.partition(" ") for part in parts)}


async def test_the_page_is_there(page: httpx2.Response) -> None:
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.text.startswith("<!doctype html>")
    assert "{{" not in page.text.replace(within("script", page.text), "")


async def test_it_names_no_other_address(page: httpx2.Response) -> None:
    """But for the name of SVG, which nothing is loaded from."""
    addresses = set(re.findall(r"[a-z]+://[^\s\"'`)]*", page.text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    for loads in (r"\bsrc\s*=", r"@import", r"\burl\(", r"\bimport\b", r"//[a-z]+\.[a-z]+"):
        found = re.search(loads, page.text.replace("http://www.w3.org/2000/svg", ""))
        assert found is None, loads


async def test_its_policy_allows_its_own_script_and_style_alone(page: httpx2.Response) -> None:
    def named(text: str) -> str:
        return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"

    assert policy_of(page) == {
        "default-src": "'none'",
        "script-src": named(within("script", page.text)),
        "style-src": named(within("style", page.text)),
        "connect-src": "'self'",
        "img-src": "data:",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "'none'",
    }


async def test_it_makes_no_markup_of_text_and_moves_nothing(page: httpx2.Response) -> None:
    script, style = within("script", page.text), within("style", page.text)
    for way in (
        "innerHTML",
        "outerHTML",
        "insertAdjacentHTML",
        "document.write",
        "eval(",
        "Function(",
    ):
        assert way not in script
    markup = page.text.replace(script, "").replace(style, "")
    assert re.search(r"\s(on[a-z]+|style)\s*=", markup) is None
    # Who has asked for reduced motion gets what all get: none.
    for motion in ("transition", "animation", "@keyframes", "scroll-behavior"):
        assert motion not in style


async def test_every_script_is_on_the_page_and_every_file_in_the_architecture() -> None:
    folder = playground.files("bertsmith.serving") / "page"
    architecture = (Path(__file__).parents[2] / "docs" / "architecture.md").read_text()
    assert all(f"`{each.name}`" in architecture for each in folder.iterdir())
    assert sorted(SCRIPTS) == sorted(
        each.name for each in folder.iterdir() if each.name.endswith(".js")
    )
    html = build_playground().html
    for name in SCRIPTS:
        assert (folder / name).read_text(encoding="utf-8") in html


async def test_the_page_needs_no_key_where_all_else_does(serve: Serve) -> None:
    async with serve("base", api_keys=["key-1"]) as client:
        assert (await client.get("/")).status_code == 200
        for path in ("/v1/models", "/metrics", "/openapi.json", "/index.html"):
            refused = await client.get(path)
            assert refused.status_code == 401
            assert "needs an API key" in error_of(refused)
        for path in ("/v1/attention", "/v1/word-in-context"):
            assert (await client.post(path, json={})).status_code == 401


async def test_the_page_is_counted_as_any_request(serve: Serve) -> None:
    async with serve("base") as client:
        await client.get("/")
        refused = await client.post("/", content=b"{}")
        figures = (await client.get("/metrics")).text.splitlines()
    assert refused.status_code == 405
    assert 'bertsmith_requests_total{endpoint="/",status="200"} 1.0' in figures
