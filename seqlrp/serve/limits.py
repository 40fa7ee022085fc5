"""What one request may cost, and the error of one that costs more or cannot be answered."""

from __future__ import annotations

from dataclasses import dataclass, fields

from seqlrp.errors import SeqlrpError, check_number


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
        text: the number of the text that is at fault, from 0; None where it is none of them.
    """

    def __init__(self, status: int, code: str, sentence: str, text: int | None = None) -> None:
        super().__init__(sentence)
        self.status, self.code, self.sentence, self.text = status, code, sentence, text

    def of_text(self, number: int, texts: int) -> RequestError:
        """The same error, of text `number` of so many."""
        which = f"Text {number} of {texts}, counted from 0: " if texts > 1 else ""
        return RequestError(self.status, self.code, which + self.sentence, number)

    @classmethod
    def of(cls, error: RequestError | SeqlrpError) -> RequestError:
        """What a request is told of an error."""
        if isinstance(error, RequestError):
            return error
        return cls(422, type(error).__name__, str(error))

    def told(self) -> dict[str, str | int | None]:
        """The error as JSON."""
        return {"error": self.sentence, "code": self.code, "text": self.text}
