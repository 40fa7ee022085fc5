"""What one request may cost, and the error of one that costs more or cannot be answered."""

from __future__ import annotations

from dataclasses import dataclass, fields

from seqlrp.errors import check_number


@dataclass(frozen=True)
class Limits:
    """Bounds of a request; one that passes them is answered with a status of 4xx or 503.

    Attributes:
        bytes: of the body.
        texts: in one request.
        words: tokens of one text.
        waiting: requests that wait for the model at one time.
        seconds: until an answer.

    Raises:
        OptionError: a bound is not above 0.
    """

    bytes: int = 1_000_000
    texts: int = 64
    words: int = 5_000
    waiting: int = 256
    seconds: float = 30.0

    def __post_init__(self) -> None:
        for field in fields(self):
            check_number(field.name, getattr(self, field.name), above=0)


class RequestError(Exception):
    """A request that is not answered.

    Attributes:
        status: the HTTP status.
        code: the name of the reason, which does not change.
        sentence: the reason, for people.
    """

    def __init__(self, status: int, code: str, sentence: str) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence = status, code, sentence
