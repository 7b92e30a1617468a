"""The three files of a tokenizer, in Hugging Face's layout, to the engine and back.

vocab.txt            one wordpiece a line
tokenizer.json       the engine's own form: vocabulary, normalisation, special tokens
tokenizer_config.json   what `transformers` reads first: do_lower_case and the names of the tokens

The engine is the `tokenizers` package: BERT's clean-up, white space and punctuation splitting and
WordPiece, as Hugging Face's fast BERT tokenizer composes them. A tokenizer by Google's rules has
the same files, so that others open them, and says so in tokenizer_config.json under `bertsmith`.
"""

from __future__ import annotations

import json
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from tokenizers import Tokenizer as Engine
from tokenizers import decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import WordPiece

from bertsmith.atomic import atomic_folder
from bertsmith.errors import CheckpointError, ConfigError
from bertsmith.text.vocabulary import CONTINUATION, SPECIAL_TOKENS, Vocabulary

Normalization = Literal["huggingface", "google"]
"""Whose rules turn a text into words."""

VOCAB_FILE = "vocab.txt"
ENGINE_FILE = "tokenizer.json"
CONFIG_FILE = "tokenizer_config.json"

# What a tokenizer.json must be made of for its ids to be BERT's.
_PARTS = {"model": "WordPiece", "normalizer": "BertNormalizer", "pre_tokenizer": "BertPreTokenizer"}
# The key in tokenizer_config.json of each setting of the engine's normaliser.
_SETTINGS = {
    "do_lower_case": "lowercase",
    "strip_accents": "strip_accents",
    "tokenize_chinese_chars": "handle_chinese_chars",
}
# Our own object in tokenizer_config.json; `transformers` passes over keys that it does not know.
_OURS = "bertsmith"
# `transformers` writes 10^30 where no length is known.
_NO_LENGTH = 2**31


@dataclass(frozen=True)
class TokenizerFiles:
    """What the files of a tokenizer hold."""

    engine: Engine
    vocabulary: Vocabulary
    max_length: int | None = None
    """Where texts are cut; a vocabulary without a model has none."""
    normalization: Normalization = "huggingface"
    unicode_version: str | None = None
    """The version of Python's Unicode tables when Google's rules were chosen; otherwise None."""

    def __post_init__(self) -> None:
        if self.normalization not in get_args(Normalization):
            raise ConfigError(
                f"normalization ({self.normalization!r}) must be one of "
                f"{', '.join(get_args(Normalization))}"
            )
        version = self.unicode_version or unicodedata.unidata_version
        is_google = self.normalization == "google"
        object.__setattr__(self, "unicode_version", version if is_google else None)

    @property
    def special_tokens(self) -> list[str]:
        """The tokens that are recognised in text."""
        added = self.engine.get_added_tokens_decoder().values()
        return [token.content for token in added if token.special]


def read_tokenizer_files(
    path: Path, lowercase: bool | None = None, normalization: Normalization | None = None
) -> TokenizerFiles:
    """Open a vocab.txt, a tokenizer.json or a folder that holds one of them.

    Settings in the tokenizer_config.json beside it count before those in tokenizer.json, as in
    `transformers`. Where neither says whether the vocabulary is cased, its entries do. A folder
    that was written with other Unicode tables opens like any other: the tables are the
    interpreter's and cannot be chosen, and they differ in the newest characters alone.

    Args:
        path: the file or folder.
        lowercase: in place of what is stored.
        normalization: in place of what is stored.

    Raises:
        CheckpointError: a file is missing, damaged or no BERT tokenizer, or an uncased tokenizer
            is asked of a vocabulary with upper-case entries, or Google's rules of settings that
            it does not have.
        ConfigError: `normalization` is unknown.
    """
    file = _find(path)
    config_file = file.parent / CONFIG_FILE
    config = _read_object(config_file) if config_file.is_file() else {}
    settings = _settings(config, config_file)
    if file.suffix == ".json" or _starts_like_json(file):
        engine, vocabulary = _read_json(file)
    else:
        vocabulary = Vocabulary.load(file)
        engine = build_engine(vocabulary, lowercase=not vocabulary.is_cased)
    for key, name in _SETTINGS.items():
        if key in settings:
            setattr(engine.normalizer, name, settings[key])
    if lowercase is not None:
        engine.normalizer.lowercase = lowercase
    # An added word is found before letters are lower-cased, or is lower-cased like the text.
    added = {token.content for token in engine.get_added_tokens_decoder().values()}
    upper_case = vocabulary.first_upper_case(besides=added)
    if engine.normalizer.lowercase and upper_case is not None:
        raise CheckpointError(
            f"{file} has upper-case entries ({upper_case!r}, say) and would be "
            "opened as uncased, which never finds them; open it with lowercase=False, or set "
            f"do_lower_case to false in {CONFIG_FILE}"
        )
    stored, unicode_version = _our_settings(config, config_file)
    normalization = stored if normalization is None else normalization
    if normalization == "google":
        _check_googles(engine, str(file), "open it with normalization='huggingface'")
    max_length = _max_length(config, config_file)
    return TokenizerFiles(engine, vocabulary, max_length, normalization, unicode_version)


def build_engine(vocabulary: Vocabulary, *, lowercase: bool) -> Engine:
    """The engine for a vocabulary; accents are stripped where letters are lower-cased."""
    engine = Engine(WordPiece(vocabulary.to_dict(), unk_token="[UNK]"))  # noqa: S106 (no password)
    engine.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    engine.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    engine.decoder = decoders.WordPiece(prefix=CONTINUATION)
    engine.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(token, vocabulary.id_of(token)) for token in ("[CLS]", "[SEP]")],
    )
    engine.add_special_tokens(list(SPECIAL_TOKENS))
    return engine


def with_vocabulary(files: TokenizerFiles, vocabulary: Vocabulary) -> TokenizerFiles:
    """The same settings and added tokens over other wordpieces."""
    values = json.loads(files.engine.to_str())
    values["model"]["vocab"] = vocabulary.to_dict()
    values["added_tokens"] = [
        token for token in values["added_tokens"] if token["content"] in vocabulary
    ]
    return replace(files, engine=Engine.from_str(json.dumps(values)), vocabulary=vocabulary)


def with_normalization(files: TokenizerFiles, normalization: Normalization) -> TokenizerFiles:
    """The same settings, added tokens and wordpieces under other rules.

    Raises:
        CheckpointError: the settings are none of Google's and its rules are asked for.
        ConfigError: `normalization` is unknown.
    """
    changed = replace(files, normalization=normalization)
    if normalization == "google":
        _check_googles(changed.engine, "the tokenizer", "leave its rules at 'huggingface'")
    return changed


def write_tokenizer_files(folder: Path, files: TokenizerFiles) -> None:
    """Write the three files.

    `transformers.AutoTokenizer` opens them, by its own rules; with "huggingface" the ids are equal.

    Raises:
        DataError: the disk is full or the folder cannot be written.
    """
    normalizer = files.engine.normalizer
    config: dict[str, Any] = {
        "tokenizer_class": "BertTokenizer",
        "do_lower_case": normalizer.lowercase,
        "strip_accents": normalizer.strip_accents,
        "tokenize_chinese_chars": normalizer.handle_chinese_chars,
        **({} if files.max_length is None else {"model_max_length": files.max_length}),
        **{f"{token[1:-1].lower()}_token": token for token in SPECIAL_TOKENS},
    }
    if files.normalization != "huggingface":
        config[_OURS] = {
            "normalization": files.normalization,
            "unicode_version": files.unicode_version,
        }
    with atomic_folder(folder) as partial:
        (partial / VOCAB_FILE).write_bytes(files.vocabulary.to_bytes())
        (partial / ENGINE_FILE).write_text(files.engine.to_str() + "\n", encoding="utf-8")
        (partial / CONFIG_FILE).write_text(json.dumps(config, indent=2) + "\n")


def _find(path: Path) -> Path:
    if path.is_dir():
        for name in (ENGINE_FILE, VOCAB_FILE):
            if (path / name).is_file():
                return path / name
        raise CheckpointError(
            f"{path} holds neither {ENGINE_FILE} nor {VOCAB_FILE}; give the folder that "
            "`bertsmith vocab` wrote, or a model's"
        )
    if not path.exists():
        raise CheckpointError(
            f"{path} does not exist; a vocabulary is a vocab.txt, a tokenizer.json or a folder "
            "with one of them"
        )
    return path


def _starts_like_json(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            return stream.read(2) in (b"{\n", b'{"', b"{ ", b"{\r")
    except OSError:
        return False


def _read_object(file: Path) -> dict[str, Any]:
    try:
        values = json.loads(file.read_bytes())
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{file} is not valid JSON ({error}); copy it again from its source"
        ) from None
    if not isinstance(values, dict):
        raise CheckpointError(f"{file} must hold a JSON object")
    return values


def _settings(values: Mapping[str, Any], file: Path) -> Mapping[str, bool | None]:
    """The stored settings of normalisation."""
    settings = {key: values[key] for key in _SETTINGS if key in values}
    for key, value in settings.items():
        if not isinstance(value, bool) and not (value is None and key == "strip_accents"):
            raise CheckpointError(f"{file}: {key} ({value!r}) must be true or false")
    return settings


def _our_settings(values: Mapping[str, Any], file: Path) -> tuple[Normalization, str | None]:
    """The stored normalization, and the version of Unicode that it was chosen with."""
    ours = values.get(_OURS, {})
    if not isinstance(ours, dict):
        raise CheckpointError(f"{file}: {_OURS} ({ours!r}) must be an object of our settings")
    normalization = ours.get("normalization", "huggingface")
    version = ours.get("unicode_version")
    if normalization not in get_args(Normalization):
        raise CheckpointError(
            f"{file}: {_OURS}.normalization ({normalization!r}) must be one of "
            f"{', '.join(get_args(Normalization))}"
        )
    if version is not None and not isinstance(version, str):
        raise CheckpointError(
            f"{file}: {_OURS}.unicode_version ({version!r}) must be a version such as '14.0.0'"
        )
    return normalization, version


def _check_googles(engine: Engine, subject: str, advice: str) -> None:
    """Refuse settings of normalisation that Google's script does not have."""
    normalizer = engine.normalizer
    settings = {
        "strip_accents": normalizer.strip_accents in (None, normalizer.lowercase),
        "tokenize_chinese_chars": normalizer.handle_chinese_chars,
    }
    for key, is_googles in settings.items():
        if not is_googles:
            raise CheckpointError(
                f"{subject} is stored with a {key} that Google's rules do not have: they strip "
                f"accents where they lower-case, and set Chinese characters apart; {advice}"
            )


def _max_length(values: Mapping[str, Any], file: Path) -> int | None:
    length = values.get("model_max_length")
    if length is None or (isinstance(length, int | float) and length >= _NO_LENGTH):
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 3:
        raise CheckpointError(
            f"{file}: model_max_length ({length!r}) must be a whole number of 3 or more"
        )
    return length


def _read_json(file: Path) -> tuple[Engine, Vocabulary]:
    values = _read_object(file)
    for part, kind in _PARTS.items():
        section = values.get(part)
        found = section.get("type") if isinstance(section, dict) else None
        if found != kind:
            raise CheckpointError(
                f"{file} has {part} {found!r}, and BERT's is {kind!r}; this is the tokenizer of "
                "another kind of model"
            )
    model = values["model"]
    if (model.get("unk_token"), model.get("continuing_subword_prefix")) != ("[UNK]", CONTINUATION):
        raise CheckpointError(
            f"{file} must name the unknown token [UNK] and continue words with ##"
        )
    try:
        engine = Engine.from_str(json.dumps(values))
    except Exception as error:  # the engine raises nothing more exact
        raise CheckpointError(f"{file} is damaged: {error}") from None
    engine.no_truncation()  # some files carry a length or padding, which belongs to the caller
    engine.no_padding()
    return engine, Vocabulary(_pieces_by_id(engine.get_vocab(), file), name=str(file))


def _pieces_by_id(ids: Mapping[str, int], file: Path) -> list[str]:
    """The entries in order, blank where no entry has an id."""
    highest = max(ids.values(), default=-1)
    if len(set(ids.values())) < len(ids) or highest > 2 * len(ids):
        raise CheckpointError(
            f"{file} gives {len(ids):,} entries ids up to {highest:,}, some of them the same or "
            "far apart; each must have its own, from 0"
        )
    pieces = [""] * (highest + 1)
    for piece, index in ids.items():
        pieces[index] = piece
    return pieces
