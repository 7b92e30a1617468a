"""A model that is served: what may be asked of it, its queue, and the answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from bertsmith.data.example import EncodedRecord
from bertsmith.errors import DataError
from bertsmith.export.model_folder import LoadedModel
from bertsmith.inference.embedder import Embedder
from bertsmith.inference.fill_mask import (
    Candidate,
    compared_words,
    encode_masked,
    likeliest_words,
)
from bertsmith.inference.predictor import Predictor
from bertsmith.serving.batching import Batcher, Item
from bertsmith.serving.errors import RequestError
from bertsmith.serving.limits import Limits
from bertsmith.serving.metrics import Metrics
from bertsmith.tasks.task import RecordTask
from bertsmith.text.encoding import Encoding
from bertsmith.training.record_evaluation import batch_tokens_on

# One [MASK] and one word to compare are one comparison, which may take a sequence of its own.
MAX_COMPARISONS = 1000
RETRY_SECONDS = 1


@dataclass(frozen=True)
class Answers:
    """What a model says to a request."""

    answers: list[Any]
    """One for each text or record, in order."""
    tokens: int
    """How many the model has read."""


@dataclass(frozen=True)
class _Masked:
    encoding: Encoding
    top_k: int
    words: tuple[str, ...] | None


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
        max_wait_seconds: float = 0.002,
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
        self._batch_tokens = batch_tokens or batch_tokens_on(device)
        self._pending = 0
        # Tokenizers remember what they have seen and are not made for several threads at once.
        self._encoder = ThreadPoolExecutor(1, thread_name_prefix="encode")
        self._batcher = Batcher(
            {"predict": self._predict, "embed": self.embedder.pooled, "fill_mask": self._fill},
            batch_tokens=self._batch_tokens,
            max_wait_seconds=max_wait_seconds,
            observe=metrics.batch_observer(name),
        )
        metrics.watch_queue(name, lambda: self._pending)

    @property
    def endpoints(self) -> list[str]:
        """The addresses that this model answers at."""
        found = ["/v1/embeddings", "/v1/tokenize"]
        if self.predictor is not None:
            found.append("/v1/predict")
        if "masked_lm" in self.model.heads:
            found.append("/v1/fill-mask")
        return sorted(found)

    @property
    def is_alive(self) -> bool:
        """Whether its thread goes on."""
        return self._batcher.is_alive

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

        def encode() -> list[Item]:
            return [
                Item(each, sum(len(example.input_ids) for example in each.examples))
                for each in predictor.encode(records)
            ]

        return await self._answers("predict", records, "record", encode)

    async def embed(self, texts: Sequence[str]) -> Answers:
        """(H,) vectors of texts.

        Raises:
            RequestError: as `predict`.
        """

        def encode() -> list[Item]:
            return [Item(each, len(each.input_ids)) for each in self.embedder.encode(texts)]

        return await self._answers("embed", texts, "text", encode)

    async def fill_mask(
        self, texts: Sequence[str], *, top_k: int = 5, words: Sequence[str] | None = None
    ) -> Answers:
        """For each text the candidates for each of its [MASK]s, as `fill_mask` gives them.

        Raises:
            RequestError: as `predict`, or words and masks are too many.
            DataError: a text has no [MASK] or is too long, or a word has no wordpieces.
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

        def encode() -> list[Item]:
            return [self._masked(text, top_k, words) for text in texts]

        return await self._answers("fill_mask", texts, "text", encode)

    async def tokenize(self, texts: Sequence[Any]) -> Answers:
        """The encodings of texts, or of pairs of them, whole, however long they are.

        Raises:
            RequestError: as `predict`.
        """
        self.limits.check_texts(texts, "text")
        pairs = [(each, None) if isinstance(each, str) else each for each in texts]

        def encode() -> list[Encoding]:
            return [self.tokenizer.encode(text, pair) for text, pair in pairs]

        with self._admitted(len(texts)):
            found = await asyncio.get_running_loop().run_in_executor(self._encoder, encode)
        return Answers(found, sum(map(len, found)))

    def close(self) -> None:
        """Finish what was accepted, and end the threads."""
        self._encoder.shutdown()
        self._batcher.close()

    async def _answers(
        self, kind: str, asked: Sequence[Any], what: str, encode: Callable[[], list[Item]]
    ) -> Answers:
        self.limits.check_texts(asked, what)
        with self._admitted(len(asked)):
            loop = asyncio.get_running_loop()
            items = await loop.run_in_executor(self._encoder, encode)
            tokens = [item.tokens for item in items]
            self.limits.check_tokens(tokens, what)
            answers = await asyncio.wrap_future(self._batcher.submit(kind, items))
        return Answers(answers, sum(tokens))

    @contextmanager
    def _admitted(self, count: int) -> Iterator[None]:
        """Hold a place in the queue for each text."""
        if not self.is_alive:
            raise RequestError(503, "the server is stopping; ask another one, or later")
        if self._pending + count > self.limits.max_queue:
            raise RequestError(
                429,
                f"the queue of {self.name} is full; try again in {RETRY_SECONDS} s",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        self._pending += count
        try:
            yield
        finally:
            self._pending -= count

    def _cannot(self, asked: str, needed: str) -> RequestError:
        tasks = ", ".join(self.task_names) or "none"
        return RequestError(
            422,
            f"{self.name} cannot answer {asked}, since its tasks ({tasks}) must have one that is "
            f"{needed}; /v1/models says what each model answers",
            param="model",
        )

    def _masked(self, text: str, top_k: int, words: Sequence[str] | None) -> Item:
        encoding = encode_masked(self.tokenizer, text)
        most = self.model.config.max_position_embeddings
        if len(encoding) > most:
            raise DataError(
                f"a text of {len(encoding)} wordpieces is longer than the {most} that the model "
                "reads; shorten it"
            )
        count = encoding.ids.count(self.tokenizer.mask_id)
        if words is not None and count * len(words) > MAX_COMPARISONS:
            raise DataError(
                f"{count} masks times {len(words)} words are more than the {MAX_COMPARISONS:,} "
                "that are compared at once; give fewer of either"
            )
        num_sequences = 1 if words is None else count * len(words)
        payload = _Masked(encoding, top_k, None if words is None else tuple(words))
        return Item(payload, len(encoding) * num_sequences)

    def _predict(self, encoded: list[EncodedRecord]) -> list[dict[str, Any]]:
        predictor = self.predictor
        assert predictor is not None  # noqa: S101 - else nothing was submitted
        scored = predictor.score(encoded, batch_tokens=self._batch_tokens)
        return [predictor.task.answer(each.record, each.scores) for each in scored]

    def _fill(self, asked: list[_Masked]) -> list[list[list[Candidate]]]:
        """Texts that ask for the likeliest words are computed at once, others one by one."""
        plain = [each for each in asked if each.words is None]
        found: dict[int, list[list[Candidate]]] = {}
        if plain:
            most = max(each.top_k for each in plain)
            encodings = [each.encoding for each in plain]
            filled = likeliest_words(self.model, self.tokenizer, encodings, most)
            for each, masks in zip(plain, filled, strict=True):
                found[id(each)] = [candidates[: each.top_k] for candidates in masks]
        for each in asked:
            if each.words is not None:
                found[id(each)] = compared_words(
                    self.model, self.tokenizer, each.encoding, each.words
                )
        return [found[id(each)] for each in asked]
