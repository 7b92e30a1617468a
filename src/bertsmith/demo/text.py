"""Real English text that a package brings along, so that the demo needs no download.

The test data inside gensim's wheel holds a part of a Wikipedia dump (106 long articles, CC
BY-SA), 300 documents of broadcast news (Lee et al. 2005) and posts to newsgroups of 1993. A tenth
of each kind's documents is held out.
"""

from __future__ import annotations

import bz2
import pickletools
import random
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bertsmith.data.sentences import sentence_splitter
from bertsmith.errors import ConfigError

WIKIPEDIA_DUMP = "enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
NEWS = "lee_background.cor"
NEWSGROUPS = "mini_newsgroup"
HELD_OUT_SHARE = 0.1
# Of 27,000 sentences 23,000 are Wikipedia's; this many of each kind make a task to learn from.
TRAIN_SENTENCES = 2500
HELD_OUT_SENTENCES = 300

Documents = list[list[str]]


@dataclass(frozen=True)
class DemoText:
    """The files that the demo starts from."""

    train: Path
    """One paragraph a line, a blank line between documents."""
    held_out: Path
    """The same, of documents that are in no other file."""
    train_sentences: Path
    """Sentences of the training documents with their kind: text, tab, label."""
    held_out_sentences: Path
    num_documents: dict[str, int]
    """Of each kind, held-out ones included."""
    num_characters: int


def write_demo_text(folder: Path, *, seed: int) -> DemoText:
    """Take the text out of gensim's test data and write it as files.

    Raises:
        ConfigError: when gensim is not installed or has no such data.
    """
    rng = random.Random(seed)
    source = find_test_data()
    folder.mkdir(parents=True, exist_ok=True)
    kinds = {name: read(source) for name, read in _KINDS.items()}
    train: dict[str, Documents] = {}
    held_out: dict[str, Documents] = {}
    for name, documents in kinds.items():
        rng.shuffle(documents)
        num_held_out = round(HELD_OUT_SHARE * len(documents))
        held_out[name], train[name] = documents[:num_held_out], documents[num_held_out:]
    return DemoText(
        train=_write_documents(folder / "train.txt", train),
        held_out=_write_documents(folder / "held-out.txt", held_out),
        train_sentences=_write_sentences(folder / "train.tsv", train, TRAIN_SENTENCES, rng),
        held_out_sentences=_write_sentences(
            folder / "held-out.tsv", held_out, HELD_OUT_SENTENCES, rng
        ),
        num_documents={name: len(documents) for name, documents in kinds.items()},
        num_characters=sum(len(line) for d in kinds.values() for lines in d for line in lines),
    )


def find_test_data() -> Path:
    """Where gensim's test data lie.

    Raises:
        ConfigError: gensim is not installed.
    """
    try:
        import gensim
    except ImportError:
        raise ConfigError(
            "the demo's text is inside the package gensim, which is not installed; "
            "run `make demo`, or `pip install 'bertsmith[demo]'`"
        ) from None
    return Path(gensim.__file__).parent / "test" / "test_data"


def _wikipedia(folder: Path) -> Documents:
    from gensim.corpora.wikicorpus import extract_pages, filter_wiki

    documents = []
    with bz2.open(folder / WIKIPEDIA_DUMP, "rt", encoding="utf-8") as dump:
        for _, text, _ in extract_pages(dump, ("0",)):
            plain = re.sub(r"'{2,}", "", filter_wiki(text))
            # What is shorter is a heading, a caption, a cell of a table or a redirection.
            lines = [line.strip(" *:;#|") for line in plain.split("\n")]
            lines = [line for line in lines if len(line) > 60 and not line.startswith("=")]
            if len(lines) > 3:
                documents.append(lines)
    return documents


def _news(folder: Path) -> Documents:
    text = (folder / NEWS).read_text(encoding="utf-8")
    return [[line.strip()] for line in text.splitlines() if line.strip()]


def _newsgroups(folder: Path) -> Documents:
    """Read the texts out of a pickle by listing its opcodes, which runs none of them."""
    pickled = zlib.decompress((folder / NEWSGROUPS).read_bytes())
    texts = [text for opcode, text, _ in pickletools.genops(pickled) if opcode.name == "UNICODE"]
    documents = []
    for text in texts:
        header, _, body = str(text).partition("\n\n")
        paragraphs = re.split(r"\n\s*\n", re.sub(r"(?m)^\s*(>|In article|.*writes:).*$", "", body))
        lines = [" ".join(paragraph.split()) for paragraph in paragraphs]
        lines = [line for line in lines if len(line) > 60 and _is_prose(line)]
        if header and lines:
            documents.append(lines)
    return documents


def _is_prose(line: str) -> bool:
    """Whether it is written words, and not a drawing, a table or an address."""
    return sum(character.isalpha() or character == " " for character in line) > 0.9 * len(line)


_KINDS: dict[str, Callable[[Path], Documents]] = {
    "wikipedia": _wikipedia,
    "news": _news,
    "newsgroup": _newsgroups,
}


def _write_documents(path: Path, kinds: dict[str, Documents]) -> Path:
    documents = [lines for documents in kinds.values() for lines in documents]
    path.write_text("\n\n".join("\n".join(lines) for lines in documents) + "\n", encoding="utf-8")
    return path


def _write_sentences(
    path: Path, kinds: dict[str, Documents], most: int, rng: random.Random
) -> Path:
    rows = []
    for name, documents in kinds.items():
        sentences = list(_sentences(documents))
        rng.shuffle(sentences)
        rows += [f"{sentence}\t{name}" for sentence in sentences[:most]]
    rng.shuffle(rows)
    path.write_text("text\tlabel\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def _sentences(documents: Documents) -> Iterator[str]:
    split = sentence_splitter("en")
    for lines in documents:
        for sentence in split(lines):
            plain = " ".join(sentence.split())
            if 8 <= len(plain.split()) <= 50:
                yield plain
