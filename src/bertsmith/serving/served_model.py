"""A model that is served: what may be asked of it, and the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from bertsmith.errors import DataError
from bertsmith.export.graph_bert import LAST_LAYER_ALONE, GraphBert
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.embedder import Embedder, layer_index
from bertsmith.inference.fill_mask import (
    check_words_fit,
    count_comparisons,
    encode_masked,
    spelled_words,
)
from bertsmith.inference.predictor import Predictor
from bertsmith.inference.word_in_context import (
    FoundWord,
    WordInContext,
    compare_occurrences,
    find_word,
)
from bertsmith.serving.batching import Item
from bertsmith.serving.computing import Attended, Attention, Computing, Masked
from bertsmith.serving.defaults import MAX_WAIT_MS
from bertsmith.serving.errors import RequestError, about
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.serving.model_queue import Answers, ModelQueue
from bertsmith.serving.record_fields import check_fields, record_fields
from bertsmith.tasks.task import RecordTask
from bertsmith.text.encoding import Encoding
from bertsmith.training.record_evaluation import batch_tokens_on

# Sequences that are read of a text with words to compare: for each [MASK] one for each wordpiece of
# each word, less those that words share.
MAX_COMPARISONS = 1000
# The map of a head is the square of this many numbers, some megabytes of JSON.
MAX_ATTENTION_TOKENS = 512
# A hundred bytes of JSON each, and some megabytes are written in a fraction of a second.
MAX_CANDIDATES = 50_000
MAX_TOKENIZED = 2**18


class ServedModel:
    """A loaded model behind a queue; its methods belong to one event loop.

    Args:
        name: what clients call it.
        loaded: a model of any kind.
        device: where to compute; the model is moved there.
        limits: of each request.
        metrics: where its batches and its queue are counted.
        batch_tokens: the most tokens to compute at once, unless one text alone has more; None:
            what suits the device.
        max_wait_seconds: how long the first text of a batch waits for others.
    """

    def __init__(
        self,
        name: str,
        loaded: LoadedModel,
        *,
        limits: Limits,
        metrics: Metrics,
        device: torch.device | str = "cpu",
        batch_tokens: int | None = None,
        max_wait_seconds: float = MAX_WAIT_MS / 1000,
    ) -> None:
        self.name = name
        self.limits = limits
        device = torch.device(device)
        self.tokenizer = loaded.tokenizer
        self.embedder = Embedder(loaded, device=device)
        self.model = self.embedder.model
        self.task_names = [task.name for task in self.model.tasks]
        is_predictor = len(self.model.tasks) == 1 and isinstance(self.model.tasks[0], RecordTask)
        self.predictor = (
            Predictor(self.model, loaded.tokenizer, device=device) if is_predictor else None
        )
        most = batch_tokens or batch_tokens_on(device)
        self._queue = ModelQueue(
            name,
            Computing(self.embedder, self.predictor, most),
            limits=limits,
            metrics=metrics,
            batch_tokens=most,
            max_wait_seconds=max_wait_seconds,
        )

    @property
    def endpoints(self) -> list[str]:
        """The addresses that this model answers at."""
        found = ["/v1/embeddings", "/v1/tokenize"]
        if not self._is_exported:
            found += ["/v1/attention", "/v1/word-in-context"]
        if self.predictor is not None:
            found.append("/v1/predict")
        if "masked_lm" in self.model.heads:
            found.append("/v1/fill-mask")
        return sorted(found)

    @property
    def _is_exported(self) -> bool:
        """Whether there is a graph in place of its layers."""
        return isinstance(self.model.bert, GraphBert)

    def _check_layers(self) -> None:
        """See that the model can be asked for what its layers do.

        Raises:
            RequestError: it was exported (422).
        """
        if self._is_exported:
            raise RequestError(422, f"{self.name}: {LAST_LAYER_ALONE}", param="model")

    def check_alive(self) -> None:
        """See that its threads go on.

        Raises:
            RequestError: one of them has ended (503).
        """
        self._queue.check_alive()

    async def predict(self, records: Sequence[Any]) -> Answers:
        """The task's answers; records as for `Predictor.predict`.

        Raises:
            RequestError: the model has no such task (422), or the queue is full (429), or there
                are too many or too long ones (422).
            DataError: a record is nothing to the task.
        """
        predictor = self.predictor
        if predictor is None:
            raise self._cannot("predict", "learned from records, such as sequence_classification")
        sizes = self.limits.check_texts(records, "record")
        check_fields(records, predictor, self.name)

        def encode(start: int, stop: int) -> list[Item]:
            return [
                Item(each, sum(len(example.input_ids) for example in each.examples))
                for each in predictor.encode(records[start:stop], first=start + 1)
            ]

        return await self._queue.answers("predict", sizes, "record", encode)

    async def embed(self, texts: Sequence[str]) -> Answers:
        """(H,) vectors of texts.

        Raises:
            RequestError: as `predict`.
        """

        def encode(start: int, stop: int) -> list[Item]:
            found = self.embedder.encode(texts[start:stop])
            return [Item(each, len(each.input_ids)) for each in found]

        sizes = self.limits.check_texts(texts, "text")
        return await self._queue.answers("embed", sizes, "text", encode)

    async def fill_mask(
        self, texts: Sequence[str], *, top_k: int = 5, words: Sequence[str] | None = None
    ) -> Answers:
        """For each text the candidates for each of its [MASK]s, as `fill_mask` gives them.

        Raises:
            RequestError: as `predict`; or words are too many or too long, or have no wordpieces.
            DataError: a text has no [MASK] or is too long.
        """
        if "masked_lm" not in self.model.heads:
            raise self._cannot("fill-mask", "masked_lm")
        if top_k > self.tokenizer.vocab_size:
            raise RequestError(
                422,
                f"top_k ({top_k}) must be from 1 to {self.tokenizer.vocab_size}, the size of the "
                "model's vocabulary",
                param="top_k",
            )

        num_candidates = 0
        spelled: dict[str, list[int]] | None = None

        def encode(start: int, stop: int) -> list[Item]:
            nonlocal num_candidates, spelled
            if words is not None and spelled is None:
                with about("words"):
                    spelled = spelled_words(self.tokenizer, words)
            items = [self._masked(text, top_k, spelled) for text in texts[start:stop]]
            masks = sum(each.payload.encoding.ids.count(self.tokenizer.mask_id) for each in items)
            num_candidates += masks * (top_k if words is None else len(words))
            if num_candidates > MAX_CANDIDATES:
                raise DataError(
                    f"the answer would have more than {MAX_CANDIDATES:,} words, for all masks "
                    "together; ask for fewer (top_k), or send the texts in several requests"
                )
            return items

        sizes = self.limits.check_texts(texts, "text")
        if words is not None:
            with about("words"):
                self.limits.check_texts(words, "word")
        return await self._queue.answers("fill_mask", sizes, "text", encode)

    async def tokenize(self, texts: Sequence[Any]) -> Answers:
        """The encodings of texts, or of pairs of them, whole, however long they are.

        Raises:
            RequestError: as `predict`.
        """
        sizes = self.limits.check_texts(texts, "text")
        pairs = [(each, None) if isinstance(each, str) else each for each in texts]

        num_tokens = 0

        def encode(start: int, stop: int) -> list[Encoding]:
            nonlocal num_tokens
            found = [self.tokenizer.encode(text, pair) for text, pair in pairs[start:stop]]
            num_tokens += sum(map(len, found))
            if num_tokens > MAX_TOKENIZED:
                raise DataError(
                    f"the texts have more than {MAX_TOKENIZED:,} wordpieces together, which is the "
                    "most of one answer; send them in several requests"
                )
            return found

        found = await self._queue.encoded(sizes, encode)
        return Answers(found, num_tokens)

    async def attention(self, texts: Sequence[str], *, layer: int, head: int) -> Attention:
        """What each wordpiece of a text, or of a pair, takes from each other.

        Raises:
            RequestError: as `predict`, or there is no such head, or the text is too long.
            ConfigError: there is no such layer.
        """
        self._check_layers()
        config = self.model.config
        with about("layer"):
            layer = layer_index(layer, config.num_hidden_layers)
        if head >= config.num_attention_heads:
            raise RequestError(
                422,
                f"head ({head}) must be from 0 to {config.num_attention_heads - 1}; the model has "
                f"{config.num_attention_heads}",
                param="head",
            )
        tokens: list[str] = []
        num_wordpieces = 0

        def encode(start: int, stop: int) -> list[Item]:  # noqa: ARG001 - there is one
            nonlocal num_wordpieces
            num_wordpieces = len(self.tokenizer.encode(*texts))
            (sequence,) = self.embedder.encode([texts[0] if len(texts) == 1 else tuple(texts)])
            if len(sequence.input_ids) > MAX_ATTENTION_TOKENS:
                raise DataError(
                    f"the text has {len(sequence.input_ids)} wordpieces, and attention is shown "
                    f"for at most {MAX_ATTENTION_TOKENS}; shorten it"
                )
            tokens.extend(self.tokenizer.vocabulary.pieces[i] for i in sequence.input_ids)
            return [Item(Attended(sequence, layer, head), len(tokens))]

        sizes = self.limits.check_texts([list(texts)], "text")
        found = await self._queue.answers("attention", sizes, "text", encode)
        return Attention(layer, tokens, found.answers[0], len(tokens) < num_wordpieces)

    async def word_in_context(
        self, word: str, sentences: Sequence[str], *, layer: int
    ) -> tuple[int, WordInContext]:
        """The layer, from 0, and how a word's vector there differs between sentences.

        Raises:
            RequestError: as `predict`.
            ConfigError: there is no such layer.
            DataError: as `word_in_context` of the library.
        """
        self._check_layers()
        with about("layer"):
            layer = layer_index(layer, self.model.config.num_hidden_layers)
        with about("word"):
            self.limits.check_texts([word], "word")
        found: list[FoundWord] = []

        def encode(start: int, stop: int) -> list[Item]:  # noqa: ARG001 - all are looked at together
            with about("word"):
                found.append(find_word(self.tokenizer, word, sentences, self.embedder.max_length))
            sequences = found[0].sequences
            return [Item((sequence, layer), len(sequence.input_ids)) for sequence in sequences]

        total = sum(self.limits.check_texts(sentences, "sentence"))
        states = await self._queue.answers(
            "states", [total], "sentence", encode, places=len(sentences)
        )
        return layer, await asyncio.to_thread(compare_occurrences, found[0], states.answers)

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self._queue.close()

    @property
    def record_fields(self) -> list[str] | None:
        """The fields that it reads of a record; None where it is asked for none."""
        return None if self.predictor is None else record_fields(self.predictor)

    def _cannot(self, asked: str, needed: str) -> RequestError:
        tasks = ", ".join(self.task_names) or "none"
        return RequestError(
            422,
            f"{self.name} cannot answer {asked}, since its tasks ({tasks}) must have one that is "
            f"{needed}; /v1/models says what each model answers",
            param="model",
        )

    def _masked(self, text: str, top_k: int, words: Mapping[str, list[int]] | None) -> Item:
        encoding = encode_masked(self.tokenizer, text)
        most = self.model.config.max_position_embeddings
        if len(encoding) > most:
            raise DataError(
                f"a text of {len(encoding)} wordpieces is longer than the {most} that the model "
                "reads; shorten it"
            )
        if words is None:
            return Item(Masked(encoding, top_k, None), len(encoding))
        masks = encoding.ids.count(self.tokenizer.mask_id)
        with about("words"):
            check_words_fit(encoding, words, most)
            num_sequences, num_tokens = (
                masks * each for each in count_comparisons(encoding, words)
            )
            if num_sequences > MAX_COMPARISONS or num_tokens > self.limits.max_tokens:
                raise DataError(
                    f"{masks} masks with {len(words)} words would be read as {num_sequences:,} "
                    f"sequences of {num_tokens:,} tokens, and at most {MAX_COMPARISONS:,} of "
                    f"{self.limits.max_tokens:,} are for one text; give fewer of either, or "
                    "shorter words"
                )
        return Item(Masked(encoding, top_k, words), num_tokens)
