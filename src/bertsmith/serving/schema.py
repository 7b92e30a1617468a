"""The bodies of requests and answers, from which the OpenAPI document is made.

What a field must be stands in its description, which errors quote too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic_core import PydanticCustomError

from bertsmith.serving.errors import UNKNOWN_FIELD, as_characters
from bertsmith.text.notation import Notation

Model = Annotated[
    str | None,
    Field(description="the name of a model that /v1/models lists; needed where there are several"),
]
# Only the first thing that is wrong is told, and to collect a million others takes minutes.
Texts = Annotated[list[str], Field(fail_fast=True)]
Input = Annotated[
    str | Texts,
    Field(description="a text or a list of texts", examples=["Paris is the [MASK] of France."]),
]
Layer = Annotated[
    int,
    Field(description="a number of a layer, 0 the first, -1 the last (the embeddings are none)"),
]
MAX_TOP_K = 100
MAX_WORDS = 100
MAX_SENTENCES = 32


class _Request(BaseModel):
    # An option that is misspelt and ignored would be answered wrongly without a word.
    model_config = ConfigDict(extra="forbid", strict=True)

    @model_validator(mode="before")
    @classmethod
    def _know_fields(cls, body: Any) -> Any:
        """Stop at the first field that is not known; there may be any number of them."""
        fields = body if isinstance(body, dict) else {}
        unknown = next((name for name in fields if name not in cls.model_fields), None)
        if unknown is not None:
            shown = as_characters(unknown)  # pydantic fails at others
            raise PydanticCustomError(UNKNOWN_FIELD, "unknown field", {"field": shown})
        return body


class PredictRequest(_Request):
    """Records for a fine-tuned model."""

    model: Model = None
    records: Annotated[
        list[str | Annotated[list[str | Texts], Field(fail_fast=True)] | dict[str, Any]],
        Field(
            fail_fast=True,
            description="a list of records, each a text, a list of texts, or an object of fields "
            "by name, as the model's task reads them",
            examples=[["a fine film", {"text": "a dull one"}]],
        ),
    ]


class FillMaskRequest(_Request):
    """Texts with [MASK] in them."""

    model: Model = None
    input: Input
    top_k: Annotated[
        int,
        Field(ge=1, le=MAX_TOP_K, description=f"how many words for each [MASK], 1 to {MAX_TOP_K}"),
    ] = 5
    words: Annotated[
        Texts | None,
        Field(
            min_length=1,
            max_length=MAX_WORDS,
            description=f"a list of 1 to {MAX_WORDS} words to compare in place of the likeliest",
        ),
    ] = None


class EmbeddingsRequest(_Request):
    """Texts to make vectors of, in OpenAI's form."""

    model: Model = None
    input: Input
    encoding_format: Annotated[
        Literal["float", "base64"],
        Field(description="float or base64, which is the bytes of little-endian float32"),
    ] = "float"
    dimensions: Annotated[
        int | None, Field(description="left out, or the length of the model's vectors")
    ] = None
    user: Annotated[str | None, Field(description="a text, which is not looked at")] = None


class TokenizeRequest(_Request):
    """Texts, or pairs of texts, to cut to wordpieces."""

    model: Model = None
    input: Annotated[
        str
        | Annotated[
            list[str | Annotated[list[str], Field(fail_fast=True, min_length=2, max_length=2)]],
            Field(fail_fast=True),
        ],
        Field(description="a text, or a list of texts and of pairs of texts"),
    ]
    notation: Annotated[
        Notation,
        Field(description="bert, where ## continues a word, or gnmt, where _ starts one"),
    ] = "bert"


class AttentionRequest(_Request):
    """A text, or a pair, in which one head is to be looked at."""

    model: Model = None
    text: Annotated[str, Field(description="a text", examples=["The cat sat on the mat."])]
    pair: Annotated[str | None, Field(description="a second text, or left out")] = None
    layer: Layer = -1
    head: Annotated[int, Field(ge=0, description="a number of a head, 0 the first")] = 0


class WordInContextRequest(_Request):
    """A word, and sentences in some of which it stands."""

    model: Model = None
    word: Annotated[
        str, Field(description="a word, or several that stand together", examples=["right"])
    ]
    sentences: Annotated[
        Texts,
        Field(
            min_length=1,
            max_length=MAX_SENTENCES,
            description=f"a list of 1 to {MAX_SENTENCES} sentences, with the word at least twice",
            examples=[["Turn right here.", "That is the right answer.", "Turn left here."]],
        ),
    ]
    layer: Layer = -1


class ErrorDetail(BaseModel):
    """What went wrong."""

    message: Annotated[str, Field(description="one sentence")]
    type: Annotated[str, Field(description="whose fault it is, in OpenAI's words")]
    param: Annotated[str | None, Field(description="the field that is wrong, if it is one")]
    code: Annotated[str, Field(description="for programs")]


class ErrorAnswer(BaseModel):
    """Every error, in OpenAI's form."""

    error: ErrorDetail


class PredictAnswer(BaseModel):
    """The task's answers, one for each record, in order."""

    model: str
    task: str
    answers: Annotated[
        list[dict[str, Any]], Field(description="as `bertsmith predict` prints them")
    ]


class WordAnswer(BaseModel):
    """A word that may stand in the place of a [MASK]."""

    word: str
    probability: float


class FillMaskAnswer(BaseModel):
    """Words for each [MASK]."""

    model: str
    answers: Annotated[
        list[list[list[WordAnswer]]],
        Field(description="for each text, for each [MASK] in it, words, the likeliest first"),
    ]


class Embedding(BaseModel):
    """One vector."""

    object: Literal["embedding"] = "embedding"
    index: Annotated[int, Field(description="the place of its text in the request")]
    embedding: list[float] | str


class Usage(BaseModel):
    """What was read."""

    prompt_tokens: int
    total_tokens: int


class EmbeddingsAnswer(BaseModel):
    """Vectors, in OpenAI's form."""

    object: Literal["list"] = "list"
    data: list[Embedding]
    model: str
    usage: Usage


class EncodingAnswer(BaseModel):
    """One text or pair as the model reads it; all lists are equally long."""

    tokens: list[str]
    ids: list[int]
    segment_ids: list[int]
    offsets: Annotated[
        list[tuple[int, int]],
        Field(description="start and end in characters of the text; (0, 0) for [CLS] and [SEP]"),
    ]


class TokenizeAnswer(BaseModel):
    """Wordpieces, not cut at the model's length."""

    model: str
    answers: list[EncodingAnswer]


class AttentionAnswer(BaseModel):
    """What each wordpiece takes from each, by one head."""

    model: str
    layer: Annotated[int, Field(description="from 0")]
    head: int
    tokens: Annotated[list[str], Field(description="cut at the length that the model reads")]
    is_cut: Annotated[bool, Field(description="whether there is more of the text than that")]
    weights: Annotated[
        list[list[float]],
        Field(description="a row for each token: what it takes from each other; a row sums to 1"),
    ]


class WordPlace(BaseModel):
    """A word in one of the sentences, and where it is on the map."""

    text: str
    sentence: Annotated[int, Field(description="which one, from 0")]
    start: Annotated[int, Field(description="in characters of the sentence")]
    end: int
    point: Annotated[
        tuple[float, float], Field(description="the two principal components of the vectors")
    ]


class NeighbourAnswer(BaseModel):
    """A near word of another sentence."""

    place: Annotated[int, Field(description="which of `neighbours`, from 0")]
    similarity: Annotated[float, Field(description="cosine")]


class Occurrence(WordPlace):
    """The word in one sentence."""

    similarities: Annotated[list[float], Field(description="cosine with each occurrence")]
    nearest: list[NeighbourAnswer]


class WordInContextAnswer(BaseModel):
    """How the vector of a word differs between sentences."""

    model: str
    layer: Annotated[int, Field(description="from 0")]
    occurrences: list[Occurrence]
    neighbours: Annotated[
        list[WordPlace], Field(description="the words that are near to an occurrence")
    ]
    shown_variance: Annotated[
        float, Field(description="the share of the vectors' variance that the points show, 0 to 1")
    ]


class ModelCard(BaseModel):
    """A model that is served."""

    id: Annotated[str, Field(description="its name, for `model` in requests")]
    object: Literal["model"] = "model"
    created: Annotated[int, Field(description="when it was loaded, in seconds since 1970")]
    owned_by: Literal["bertsmith"] = "bertsmith"
    tasks: list[str]
    endpoints: Annotated[list[str], Field(description="the addresses that it answers at")]
    record: Annotated[
        str | None, Field(description="what a record of /v1/predict is, in words; null: no such")
    ]
    fields: Annotated[
        list[str] | None,
        Field(description="of such a record, where it is an object; null: it reads no records"),
    ]
    reads_pairs: Annotated[
        bool | None,
        Field(description="true: pairs of texts alone; false: single texts alone; null: any"),
    ]
    labels: Annotated[list[str] | None, Field(description="between which it decides, if it does")]
    max_length: Annotated[int, Field(description="wordpieces of a text that are read")]
    dimensions: Annotated[int, Field(description="the length of its vectors")]
    layers: Annotated[int, Field(description="how many it has")]
    heads: Annotated[int, Field(description="of attention, in each layer")]


class ModelList(BaseModel):
    """The models that are served."""

    object: Literal["list"] = "list"
    data: list[ModelCard]


class Health(BaseModel):
    """Whether the server does what it is there for."""

    status: Literal["live", "ready"]


REQUESTS: Mapping[str, type[BaseModel]] = {
    "/v1/predict": PredictRequest,
    "/v1/fill-mask": FillMaskRequest,
    "/v1/embeddings": EmbeddingsRequest,
    "/v1/tokenize": TokenizeRequest,
    "/v1/attention": AttentionRequest,
    "/v1/word-in-context": WordInContextRequest,
}
