"""Requests and answers of the JSON interface."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from seqlrp.evaluation.removal import Removal

ModelNumber = Annotated[int, Field(ge=0, le=1, description="0, or 1 for the second model.")]
Tokens = Annotated[list[Annotated[int, Field(ge=0)]], Field(description="Numbers of tokens.")]


class _Strict(BaseModel):
    """Unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ClassRequest(_Strict):
    """A question about a text: why this class, or this class rather than another?"""

    model: ModelNumber = 0
    target: Annotated[str, Field(description="A label, or 'predicted'.")] = "predicted"
    against: Annotated[str | None, Field(description="Rather than which label.")] = None


class Place(_Strict):
    """A part of a text."""

    start: Annotated[int, Field(ge=0, description="First character, counted in code points.")]
    end: Annotated[int, Field(ge=0)]


class Replacement(Place):
    """A part of a text that stands in the place of another."""

    was: Annotated[str, Field(description="What stood there before.")]


class Edited(_Strict):
    """What was tried on a text: parts that are struck, parts that stand for others."""

    struck: list[Place] = []
    replaced: list[Replacement] = []


class ExplainRequest(ClassRequest):
    """Texts to explain, in one batch."""

    texts: Annotated[list[str], Field(min_length=1)]
    method: str = "lrp"
    edited: Annotated[
        list[Edited] | None, Field(description="For each text what was struck and replaced.")
    ] = None
    removal: Annotated[Removal, Field(description="What becomes of struck tokens.")] = "zero"


class PredictRequest(_Strict):
    """Texts to score, each without some of its tokens."""

    texts: Annotated[list[str], Field(min_length=1)]
    model: ModelNumber = 0
    removed: Annotated[
        list[Tokens] | None, Field(description="For each text the tokens that are taken out.")
    ] = None
    removal: Removal = "zero"


class CurveRequest(ClassRequest):
    """A text from which the most relevant words are removed one after the other."""

    text: str
    methods: Annotated[list[str], Field(min_length=1, max_length=6)] = [
        "lrp", "gradient_x_input", "occlusion",
    ]  # fmt: skip
    removal: Removal = "zero"
    most: Annotated[int, Field(ge=1, le=100, description="The most words to remove.")] = 20


class ChangeRequest(_Strict):
    """A text of which few words are to be removed, so that the answer changes."""

    text: str
    model: ModelNumber = 0
    removal: Removal = "zero"
    most: Annotated[int, Field(ge=1, le=20, description="The most words to remove.")] = 8


class FileRequest(ExplainRequest):
    """Texts to explain in a file."""

    by: Annotated[Literal["word", "sentence"], Field(description="What is coloured.")] = "word"
    both: Annotated[bool, Field(description="Show the second model beside the first.")] = False


class PageRequest(FileRequest):
    """Texts to explain on a page that can be saved."""

    title: Annotated[
        str | None, Field(max_length=200, description="None says what is explained.")
    ] = None


class Unit(_Strict):
    """A word or a sentence, with the sum of the relevance of its tokens."""

    start: Annotated[int, Field(description="First character, counted in code points.")]
    end: int
    relevance: float
    tokens: Tokens


class Predicted(_Strict):
    """The answer of the model for one text."""

    predicted: str
    scores: list[float]
    probabilities: list[float]


class EditedAnswer(Edited):
    """What was tried on a text, and what the model answers then."""

    struck_words: list[str]
    removal: Removal
    without: Annotated[Predicted | None, Field(description="To the text without what was struck.")]
    before: Annotated[
        Predicted | None, Field(description="To the text before words were replaced.")
    ]


class Explained(_Strict):
    """One explained text."""

    text: str
    words: list[Unit]
    sentences: list[Unit]
    predicted: str
    target: str
    against: str | None
    scores: list[float]
    probabilities: list[float]
    start: Annotated[float, Field(description="The score, or difference, that is explained.")]
    unread: Annotated[int, Field(description="Tokens that the model does not read.")]
    unknown: Annotated[list[int], Field(description="Tokens that the vocabulary lacks.")]
    edited: EditedAnswer | None = None


class ExplainAnswer(_Strict):
    """An explanation for each text."""

    labels: list[str]
    method: str
    parameters: Annotated[str, Field(description="The options of the method.")]
    explanations: list[Explained]


class PredictAnswer(_Strict):
    """A prediction for each text."""

    labels: list[str]
    predictions: list[Predicted]


class Curve(_Strict):
    """The probability of the class after 0, 1, 2, … removed words."""

    name: str
    values: list[float]


class CurveAnswer(_Strict):
    """A curve for each method, and one for words in random order (the mean of several)."""

    label: str
    curves: list[Curve]
    empty: Annotated[
        Predicted | None,
        Field(description="To the text without any word; null where words are deleted."),
    ]


class ChangeAnswer(_Strict):
    """Words without which the answer is another one, or the closest that was found."""

    changed: bool
    words: list[Unit]
    before: Predicted
    after: Predicted


class ModelDescription(_Strict):
    """A model that is served."""

    name: str
    labels: list[str]
    fingerprint: Annotated[str, Field(description="Of its weights and vocabulary.")]
    vocabulary: int
    kind: Annotated[str, Field(description="The class of the network.")]
    about: Annotated[str | None, Field(description="Where it is from, and when it was saved.")]
    removals: list[str]


class Description(_Strict):
    """What this server offers."""

    version: str
    models: list[ModelDescription]
    methods: list[str]
    titles: Annotated[list[str], Field(description="What readers call the methods.")]
    comparison: Annotated[
        list[str], Field(description="Methods that explain nothing, to compare others with.")
    ]
    examples: Annotated[int, Field(description="Texts of the corpus.")]
    offered: Annotated[
        list[int], Field(description="Numbers of few examples that the model answers differently.")
    ]
    limits: dict[str, float]


class Example(_Strict):
    """A text of the corpus that the server was started with."""

    text: str


class Health(_Strict):
    """That the server answers."""

    status: Literal["ok"] = "ok"


class Refusal(_Strict):
    """Why a request was not answered."""

    error: str
    code: str
    text: Annotated[
        int | None, Field(description="The text that is at fault, from 0; null for none of them.")
    ] = None
