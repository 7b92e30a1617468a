"""The playground: one page at `/` that asks this server and no other.

It is plain HTML, CSS and JavaScript in `page/`, put together when the server starts, so that one
answer holds all of it and nothing has to be built.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib.resources import files

# What a name stands for comes before what uses it while the page is read.
SCRIPTS = (
    "dom.js",
    "text.js",
    "server.js",
    "fields.js",
    "address.js",
    "charts.js",
    "view_masked_words.js",
    "views_of_tasks.js",
    "context_map.js",
    "view_word_in_context.js",
    "view_attention.js",
    "view_similarity.js",
    "view_wordpieces.js",
    "main.js",
)


@dataclass(frozen=True)
class Playground:
    """The page, and the headers that it is sent with."""

    html: str
    headers: dict[str, str]


def build_playground() -> Playground:
    """Put the page together, and allow it its own script, its own style and this server."""
    folder = files("bertsmith.serving") / "page"
    style = (folder / "style.css").read_text(encoding="utf-8")
    script = "\n".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    template = (folder / "page.html").read_text(encoding="utf-8")
    html = template.replace("{{style}}", style).replace("{{script}}", script)
    policy = (
        "default-src 'none'",
        f"script-src '{_hash(script)}'",
        f"style-src '{_hash(style)}'",
        "connect-src 'self'",
        "img-src data:",  # the empty icon, so that browsers do not ask for one
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        # Text can then not become markup, even by a mistake of ours.
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
    headers = {
        "Content-Security-Policy": "; ".join(policy),
        "Cache-Control": "no-cache",  # the next version's page is there at once
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
    }
    return Playground(html, headers)


def _hash(text: str) -> str:
    """How a policy names what stands within the page."""
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
