"""Every error in one shape, OpenAI's: one sentence, and nothing of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from starlette.responses import JSONResponse

from bertsmith.errors import BertsmithError

# In OpenAI's form a client program goes by the code, and by the kind where it knows none.
_KINDS = {401: "authentication_error", 429: "rate_limit_error"}
_CODES = {
    400: "bad_request",
    401: "invalid_api_key",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    422: "invalid_request",
    429: "queue_full",
    499: "client_gone",
    500: "internal_error",
    503: "not_ready",
    504: "timeout",
}
FAILED = "the server could not answer this request, and its log says why; others are not affected"
# What the command line advises means nothing to a client.
_ADVICE = re.compile(
    r"[;,] (?:so )?(?:and )?(?:name|call|give it a second text|or name)\b.*\bdata\.\w+=.*"
)


UNKNOWN_FIELD = "unknown_field"


class RequestError(Exception):
    """A request that cannot be answered, and why.

    Args:
        status: of HTTP, from 400.
        message: one sentence for the client.
        code: for its program; None: what the status is called.
        param: the field that is wrong, if it is one.
        headers: of the answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers

    def response(self) -> JSONResponse:
        """The answer."""
        kind = "server_error" if self.status >= 500 else "invalid_request_error"
        error = {
            "message": as_characters(self.message),
            "type": _KINDS.get(self.status, kind),
            "param": None if self.param is None else as_characters(self.param),
            "code": self.code or _CODES.get(self.status, "error"),
        }
        return JSONResponse({"error": error}, self.status, self.headers)


def as_characters(text: str) -> str:
    """What a client has sent, which need not be characters, so that an error can quote it."""
    return text.encode("utf-8", "replace").decode()


def shortened(name: str) -> str:
    """What a client has sent, not longer than a sentence can hold."""
    return name if len(name) <= 40 else f"{name[:39]}…"


@contextmanager
def about(param: str) -> Iterator[None]:
    """Say of an error of the client's which field it is about, unless it says so itself."""
    try:
        yield
    except BertsmithError as error:
        raise of_library(error, param) from None
    except RequestError as error:
        if error.status == 422 and error.param is None:
            error.param = param
        raise


def of_library(error: BertsmithError, param: str | None = None) -> RequestError:
    """What the library says of a request's texts, as an answer."""
    message = _ADVICE.sub("; /v1/models lists the fields that the model reads", str(error))
    return RequestError(422, message, param=param)


def of_http(status: int, detail: str, headers: Mapping[str, str] | None) -> RequestError:
    """What the framework answers by itself: no such address, no such method, no JSON."""
    sentences = {
        400: "the body is not JSON that can be read; send one JSON object in UTF-8",
        404: "there is nothing at this address; /openapi.json lists all that there is",
        405: "this address does not take this method; /openapi.json lists those that it takes",
    }
    sentence = sentences.get(status) or detail or HTTPStatus(status).phrase
    return RequestError(status, sentence, headers=headers)


def of_validation(
    errors: Sequence[Mapping[str, Any]], descriptions: Mapping[str, str]
) -> RequestError:
    """What is wrong with a body, by the first of the errors that were found in it.

    Args:
        errors: as pydantic lists them.
        descriptions: what each field of the request must be, to complete "it must be".
    """
    error = errors[0]
    place = [str(part) for part in error["loc"][1:]]
    if error["type"] == "json_invalid":
        return of_http(400, "", None)
    if error["type"] == UNKNOWN_FIELD:
        shown = shortened(error["ctx"]["field"])
        return RequestError(
            422, f"{shown!r} is no field of this request; /openapi.json lists them", param=shown
        )
    if not place:
        return RequestError(
            422, "the body must be one JSON object, sent with Content-Type: application/json"
        )
    field = place[0]
    wrong = "is missing" if error["type"] == "missing" else "is not right"
    return RequestError(
        422, f"{field} {wrong}; it must be {descriptions.get(field, 'another value')}", param=field
    )
