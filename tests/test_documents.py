"""Documents name only what is there: links, paths, commands and Python that compiles."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

import bertsmith
from bertsmith.cli.main import build_parser, parse

ROOT = Path(__file__).parents[1]
SOURCE = Path(bertsmith.__file__).parent
DOCUMENTS = sorted(
    [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "CHANGELOG.md",
        *ROOT.glob("docs/**/*.md"),
    ]
)
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path.read_text(encoding="utf-8"))
ENTRIES = [
    named
    for folder in ("src", "tests", "docs", "benchmarks", "recipes", "examples", "deploy")
    for path in [ROOT / folder, *(ROOT / folder).rglob("*")]
    for named in [path.relative_to(ROOT).as_posix()]
]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


each_document = pytest.mark.parametrize("path", DOCUMENTS, ids=named)


def prose(path: Path) -> str:
    """The text without its code blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", path.read_text(encoding="utf-8"))


def blocks(path: Path) -> Iterator[tuple[str, str]]:
    """Language and contents of each code block."""
    yield from re.findall(r"(?ms)^```(\w*)\n(.*?)^```$", path.read_text(encoding="utf-8"))


@each_document
def test_every_link_leads_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if not re.match(r"[a-z]+:|#", target):
            assert (path.parent / target.partition("#")[0]).exists(), target


def paths_in(text: str) -> Iterator[str]:
    """What stands in backticks and looks like a file or a folder of the repository."""
    for span in re.findall(r"`([^`\n]+)`", text):
        name = span.partition("::")[0]
        if re.fullmatch(r"[\w.*-]+(/[\w.*-]+)+\.(py|md|toml)|[\w-]+(/[\w-]+)*/|\w+\.py", name):
            yield name


def is_there(name: str) -> bool:
    """Whether it ends the path of a file or folder of ours: `training/run.py`, `docs/`."""
    return any(fnmatch(f"/{entry}", f"*/{name.rstrip('/')}") for entry in ENTRIES)


@each_document
def test_every_path_in_backticks_is_there(path: Path) -> None:
    for name in paths_in(prose(path)):
        # A run makes these.
        if name.startswith(("checkpoints/", "tensorboard/", "runs/")):
            continue
        assert is_there(name), name


def commands(path: Path) -> Iterator[list[str]]:
    """The lines of code blocks that call `bertsmith`, without prompts, pipes and comments."""
    for language, block in blocks(path):
        if language in ("", "sh", "bash", "console"):
            for line in block.replace("\\\n", " ").splitlines():
                if found := re.match(r"(?:\$ |.* \| )*(bertsmith (?!demo$).*)", line):
                    words = shlex.split(found[1], comments=True)
                    ends = [i for i, word in enumerate(words) if word in ("|", ">", "<", "&&")]
                    yield words[1 : ends[0] if ends else None]


@each_document
def test_every_command_parses(path: Path) -> None:
    for command in commands(path):
        if command[0].startswith("-") or command[0].isupper():
            continue  # the help of the whole, or a pattern with VERB
        assert parse(build_parser(command[0]), command).verb == command[0]


def test_the_readme_has_commands_to_parse() -> None:
    verbs = {command[0] for command in commands(ROOT / "README.md")}
    assert {"vocab", "prepare", "pretrain", "finetune", "predict"} <= verbs


@each_document
def test_every_python_block_compiles(path: Path) -> None:
    for number, (language, block) in enumerate(blocks(path)):
        if language == "python":
            compile(block, f"{path.name}, block {number}", "exec")


def test_the_architecture_names_every_module() -> None:
    text = prose(ROOT / "docs" / "architecture.md")
    every_file = text[text.index("## Every file") : text.index("## Formats on disk")]
    spans = set(re.findall(r"`([^`\n]+)`", every_file))
    for path in MODULES:
        if path.name != "__init__.py":
            assert path.name in spans, path.relative_to(SOURCE)
    known = {path.name for path in MODULES}
    for span in spans:
        if span.endswith(".py") and "/" not in span:
            assert span in known, span
