"""Text and tasks for a comparison without files of the user's own: the demo's text.

Two tasks are made of its sentences, whose documents are kept apart as the text's are. In one a
sentence's source is to be named, as in the demo. In the other all words are in small letters, and
those that had a capital are to be found: a tag for each word, for which its neighbours matter ("us"
and "US", "may" and "May"), and that nobody has had to write.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from bertsmith.atomic import atomic_folder, write_atomically
from bertsmith.comparison.downstream import Downstream, chosen_names
from bertsmith.data.prepare import prepare
from bertsmith.data.shards import MANIFEST
from bertsmith.demo.run import VOCAB_SIZE
from bertsmith.demo.text import write_demo_text
from bertsmith.text.trainer import train_vocabulary

DEMO_TASKS = ("source", "capitals")
# So that the documents held out are the same in every comparison.
SEED = 12345


TRAIN_SHARDS, HELD_OUT_SHARDS = "train-shards", "held-out-shards"


def demo_tasks(folder: Path, names: list[str] | None) -> list[Downstream]:
    """The two tasks, or those of these names; `write_demo_data` writes their files.

    Raises:
        ConfigError: there is no such task.
    """
    known = {
        "source": Downstream(
            name="source",
            title="source of a sentence",
            data={split: str(path) for split, path in _sentences(folder).items()},
            task={"name": "sequence_classification"},
        ),
        "capitals": Downstream(
            name="capitals",
            title="capital letters",
            data={split: str(path) for split, path in _tags(folder).items()},
            task={"name": "token_classification"},
        ),
    }
    return [known[name] for name in chosen_names(names, DEMO_TASKS)]


def write_demo_data(folder: Path, say: Callable[[str], None], *, with_shards: bool) -> None:
    """Write text, shards and tasks, where they are not there.

    Args:
        folder: of them all.
        say: told what takes a while.
        with_shards: whether the text is to be pre-trained on, too.

    Raises:
        ConfigError: the package that has the text is not installed.
    """
    text = folder / "text"
    if not text.exists():
        say("writing the demo's text")
        with atomic_folder(text) as partial:
            write_demo_text(partial, seed=SEED)
    for split, path in _tags(folder).items():
        rows = _sentences(folder)[split].read_text(encoding="utf-8").splitlines()[1:]
        write_atomically(path, [_capitals(rows).encode()])
    if with_shards and not (folder / HELD_OUT_SHARDS / MANIFEST).exists():
        say("preparing it: a vocabulary, and shards")
        lines = (text / "train.txt").read_text(encoding="utf-8").splitlines()
        tokenizer, _ = train_vocabulary(lines, size=VOCAB_SIZE)
        prepare([text / "train.txt"], tokenizer, folder / TRAIN_SHARDS)
        prepare([text / "held-out.txt"], tokenizer, folder / HELD_OUT_SHARDS)


def _sentences(folder: Path) -> dict[str, Path]:
    """Sentences with their source, of each split."""
    return {"train": folder / "text" / "train.tsv", "eval": folder / "text" / "held-out.tsv"}


def _tags(folder: Path) -> dict[str, Path]:
    """Words with their tags, of each split."""
    return {split: folder / f"capitals-{split}.conll" for split in ("train", "eval")}


def _capitals(rows: list[str]) -> str:
    """A word a line with whether it has a capital; a blank line after each sentence.

    Args:
        rows: of a sentence, a tab and a label each.
    """
    blocks = []
    for row in rows:
        sentence = row.rpartition("\t")[0]
        lines = [
            f"{word.lower()} {'capital' if word[0].isupper() else 'lower'}"
            for word in sentence.split()
            if word[0].isalpha()
        ]
        if lines:
            blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"
