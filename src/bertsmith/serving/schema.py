"""The bodies of requests and answers, from which the OpenAPI document is made.

What a field must be stands in its description, which errors quote too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Model = Annotated[
    str | None,
    Field(description="the name of a model that /v1/models lists; needed where there are several"),
]
Input = Annotated[
    str | list[str],
    Field(description="a text or a list of texts", examples=["Paris is the [MASK] of France."]),
]
MAX_TOP_K = 100
MAX_WORDS = 100


class _Request(BaseModel):
    # An option that is misspelt and ignored would be answered wrongly without a word.
    model_config = ConfigDict(extra="forbid", strict=True)


class PredictRequest(_Request):
    """Records for a fine-tuned model."""

    model: Model = None
    records: Annotated[
        list[str | list[str | list[str]] | dict[str, Any]],
        Field(
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
        list[str] | None,
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
        str | list[str | Annotated[list[str], Field(min_length=2, max_length=2)]],
        Field(description="a text, or a list of texts and of pairs of texts"),
    ]


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
    labels: Annotated[list[str] | None, Field(description="between which it decides, if it does")]
    max_length: Annotated[int, Field(description="wordpieces of a text that are read")]
    dimensions: Annotated[int, Field(description="the length of its vectors")]


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
}
