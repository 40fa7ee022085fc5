"""The application: the page, and the JSON interface that the page itself uses."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from itertools import zip_longest
from typing import Any, TypeVar, get_args

import numpy as np
import numpy.typing as npt
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import seqlrp
from seqlrp.errors import SeqlrpError
from seqlrp.evaluation.removal import Removal
from seqlrp.explanations.record import Explanation
from seqlrp.methods import Position, Random
from seqlrp.models.classifier import TextClassifier
from seqlrp.models.fingerprint import model_fingerprint
from seqlrp.serve import files, schema
from seqlrp.serve.guard import Guard
from seqlrp.serve.limits import Limits, RequestError
from seqlrp.serve.live_model import Answer as Explained
from seqlrp.serve.live_model import LiveModel
from seqlrp.serve.page import CONTENT_POLICY, live_page
from seqlrp.serve.questions import (
    deletion_curves,
    explanation,
    fewest_words,
    scores_without,
    tokens_of,
)
from seqlrp.serve.tried import Tried, tried
from seqlrp.show.method_titles import method_title
from seqlrp.show.page.text_view import format_parameters
from seqlrp.show.page.units import Units, words_and_sentences

Answer = TypeVar("Answer")
COMPARISON = (Position.name, Random.name)  # they explain nothing
TRIED = 64  # examples of which those are sought that are answered differently
OFFERED = 3
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": schema.Refusal} for status in (413, 415, 422, 503)
}


class Service:
    """What the routes answer with: one or two models, and the texts of a corpus.

    Args:
        models: one or two, which are named apart.
        examples: texts that a reader can take up.
        limits: what one request may cost.
        about: a line on each model, such as when it was saved.
    """

    def __init__(
        self,
        models: Sequence[tuple[str, TextClassifier]],
        examples: Sequence[str],
        limits: Limits,
        about: Sequence[str] = (),
    ) -> None:
        self.about = about
        self.models = [LiveModel(classifier, name, limits) for name, classifier in models]
        self.examples, self.limits = examples, limits
        self.offered = _answered_differently(self.models[0], examples)

    def model(self, number: int) -> LiveModel:
        """The first or the second model.

        Raises:
            RequestError: there is no second, status 422.
        """
        if number >= len(self.models):
            raise RequestError(422, "model", "This server has one model, number 0.")
        return self.models[number]

    async def of_each(
        self, texts: Sequence[str], ask: Callable[[int], Awaitable[Answer]]
    ) -> list[Answer]:
        """Ask for each text of a request; they share batches.

        Args:
            texts: of the request.
            ask: is given the number of a text.

        Raises:
            RequestError: there are more texts than allowed, status 413; or a text is at fault.
        """
        if len(texts) > self.limits.texts:
            raise RequestError(
                413, "too_many",
                f"Got {len(texts)} texts; one request may hold {self.limits.texts}.",
            )  # fmt: skip

        async def one(number: int) -> Answer:
            try:
                return await ask(number)
            except (RequestError, SeqlrpError) as raised:
                error = RequestError.of(raised)
                if error.status >= 500:
                    raise error from raised
                raise error.of_text(number, len(texts)) from raised

        return await asyncio.gather(*map(one, range(len(texts))))

    def describe(self) -> schema.Description:
        """Name the models, their labels, and the methods that all of them have."""
        common = [m for m in self.models[0].methods if all(m in o.methods for o in self.models)]
        return schema.Description(
            version=seqlrp.__version__,
            models=[
                _described(model, about)
                for model, about in zip_longest(self.models, self.about[: len(self.models)])
            ],
            methods=common,
            titles=[method_title(method) for method in common],
            comparison=[method for method in common if method in COMPARISON],
            examples=len(self.examples),
            offered=self.offered,
            limits=asdict(self.limits),
        )

    async def explain(self, asked: schema.ExplainRequest) -> list[Explained]:
        """Explain the texts of a request."""
        model = self.model(asked.model)
        model.check(asked.method, asked.target, asked.against)
        return await self.of_each(
            asked.texts,
            lambda k: explanation(model, asked.texts[k], asked.method, asked.target, asked.against),
        )

    async def tried(self, asked: schema.ExplainRequest) -> list[Tried]:
        """Explain the texts of a request, and answer what was tried on each."""
        model = self.model(asked.model)
        edited = [schema.Edited()] * len(asked.texts) if asked.edited is None else asked.edited
        if len(edited) != len(asked.texts):
            raise RequestError(
                422, "edited", f"Got edits of {len(edited)} texts for {len(asked.texts)} texts."
            )
        answers = await self.explain(asked)
        return await self.of_each(
            asked.texts, lambda k: tried(model, answers[k], edited[k], asked.removal)
        )

    async def sides(self, asked: schema.FileRequest) -> list[files.Side]:
        """What a file shows: what was tried with one model, or with both."""
        numbers = range(len(self.models)) if asked.both else [asked.model]
        return [
            files.Side(self.model(k), await self.tried(asked.model_copy(update={"model": k})))
            for k in numbers
        ]

    async def predict(self, asked: schema.PredictRequest) -> schema.PredictAnswer:
        """Score the texts of a request without the tokens that are taken out."""
        model = self.model(asked.model)
        removed = [[]] * len(asked.texts) if asked.removed is None else asked.removed
        if len(removed) != len(asked.texts):
            raise RequestError(
                422, "removed", f"Got {len(removed)} lists of tokens for {len(asked.texts)} texts."
            )
        scores = await self.of_each(
            asked.texts,
            lambda k: scores_without(model, asked.texts[k], [removed[k]], asked.removal),
        )
        return schema.PredictAnswer(
            labels=list(model.classifier.labels),
            predictions=[_predicted(model, row[0]) for row in scores],
        )

    async def curves(self, asked: schema.CurveRequest) -> schema.CurveAnswer:
        """Follow the probability of a class while the words that a method names are removed."""
        model = self.model(asked.model)
        label, curves, empty = await deletion_curves(
            model,
            asked.text,
            list(dict.fromkeys(asked.methods)),
            asked.target,
            asked.against,
            asked.removal,
            asked.most,
        )
        return schema.CurveAnswer(
            label=label,
            curves=[schema.Curve(name=n, values=v) for n, v in curves.items()],
            empty=None if empty is None else _predicted(model, empty),
        )

    async def change(self, asked: schema.ChangeRequest) -> schema.ChangeAnswer:
        """Look for few words without which the answer is another one."""
        model = self.model(asked.model)
        gone, whole, before, after = await fewest_words(
            model, asked.text, asked.removal, asked.most
        )
        words = _units(words_and_sentences(whole)[0], whole)
        return schema.ChangeAnswer(
            changed=bool(before.argmax() != after.argmax()),
            words=[words[k] for k in gone],
            before=_predicted(model, before),
            after=_predicted(model, after),
        )

    def close(self) -> None:
        """End the threads of the models."""
        for model in self.models:
            model.close()


def create_app(
    classifier: TextClassifier,
    second: TextClassifier | None = None,
    *,
    names: Sequence[str] = ("model", "second model"),
    about: Sequence[str] = (),
    examples: Iterable[str] = (),
    hosts: Iterable[str],
    token: str | None = None,
    limits: Limits | None = None,
) -> Guard:
    """Return the ASGI application, to be run by uvicorn or another server.

    Args:
        classifier: the model that answers.
        second: a model that is shown beside it on the same text.
        names: what the page calls the two.
        about: a line on each model, such as when it was saved.
        examples: texts of a corpus, which a reader can take up.
        hosts: the values of the header `Host` that are this server, such as "127.0.0.1:8000".
        token: what callers must send as `Authorization: Bearer TOKEN`; None asks for none.
        limits: what one request may cost.

    Raises:
        OptionError: a limit is not above 0.
    """
    chosen = limits or Limits()
    classifiers = [classifier] if second is None else [classifier, second]
    models = list(zip(names, classifiers, strict=False))
    service = Service(models, list(examples), chosen, about)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    app = FastAPI(
        title="seqlrp",
        version=seqlrp.__version__,
        docs_url=None,  # FastAPI's pages load scripts from other hosts
        redoc_url=None,
        lifespan=lifespan,
    )
    _add_descriptions(app, service)
    _add_answers(app, service)
    _add_files(app, service)
    _add_errors(app)
    app.state.service = service
    return Guard(app, hosts, token, chosen)


def _add_descriptions(app: FastAPI, service: Service) -> None:
    """The page, and what the server offers."""

    @app.get("/", response_class=HTMLResponse)
    async def page() -> HTMLResponse:
        """The page."""
        headers = {"Content-Security-Policy": CONTENT_POLICY}
        return HTMLResponse(live_page(), headers=headers)

    @app.get("/health")
    async def health() -> schema.Health:
        """Whether the server answers."""
        return schema.Health()

    description = service.describe()

    @app.get("/model")
    async def model() -> schema.Description:
        """The models, their labels, the methods and the limits."""
        return description

    @app.get("/example/{number}", responses=REFUSALS)
    async def example(number: int) -> schema.Example:
        """A text of the corpus."""
        if not 0 <= number < len(service.examples):
            raise RequestError(404, "example", f"The corpus has {len(service.examples)} texts.")
        return schema.Example(text=service.examples[number])


def _add_answers(app: FastAPI, service: Service) -> None:
    """What the model answers, as JSON.

    Answers are checked where they are made, so FastAPI does not check them again.
    """
    seconds = service.limits.seconds

    @app.post("/explain", response_model=schema.ExplainAnswer, responses=REFUSALS)
    async def explain(asked: schema.ExplainRequest) -> Response:
        """Relevance of each word and sentence."""
        found = await within(seconds, service.tried(asked))
        model, first = service.model(asked.model), found[0].answer.explanation
        return _json(
            schema.ExplainAnswer(
                labels=list(model.classifier.labels),
                method=first.method,
                parameters=format_parameters(first),
                explanations=[_explained(model, each) for each in found],
            )
        )

    @app.post("/predict", response_model=schema.PredictAnswer, responses=REFUSALS)
    async def predict(asked: schema.PredictRequest) -> Response:
        """Probabilities, also of texts without some of their words."""
        return _json(await within(seconds, service.predict(asked)))

    @app.post("/curves", response_model=schema.CurveAnswer, responses=REFUSALS)
    async def curves(asked: schema.CurveRequest) -> Response:
        """The probability of a class while the most relevant words are removed."""
        return _json(await within(seconds, service.curves(asked)))

    @app.post("/change", response_model=schema.ChangeAnswer, responses=REFUSALS)
    async def change(asked: schema.ChangeRequest) -> Response:
        """Few words without which the answer is another one."""
        return _json(await within(seconds, service.change(asked)))


def _json(answer: BaseModel) -> Response:
    return Response(answer.model_dump_json(), media_type="application/json")


def _add_files(app: FastAPI, service: Service) -> None:
    """Explanations as files."""
    seconds = service.limits.seconds

    @app.post("/page", response_class=HTMLResponse, responses=REFUSALS)
    async def save_page(asked: schema.PageRequest) -> HTMLResponse:
        """A page of explanations that needs no server."""
        sides = await within(seconds, service.sides(asked))
        return HTMLResponse(await asyncio.to_thread(files.page, sides, asked.by, asked.title))

    drawing = asyncio.Lock()  # Matplotlib is used by one thread at a time

    @app.post("/picture", response_class=Response, responses=REFUSALS)
    async def save_picture(asked: schema.FileRequest) -> Response:
        """A picture of explanations, a PNG file."""
        sides = await within(seconds, service.sides(asked))
        async with drawing:
            png = await asyncio.to_thread(files.picture, sides, asked.by)
        return Response(png, media_type="image/png")


async def within(seconds: float, answer: Awaitable[Answer]) -> Answer:
    """Wait for an answer.

    Raises:
        RequestError: it takes longer, status 503.
    """
    try:
        return await asyncio.wait_for(answer, seconds)
    except TimeoutError:
        raise RequestError(
            503, "slow", f"There is no answer after {seconds:g} s; take a shorter text."
        ) from None


def _add_errors(app: FastAPI) -> None:
    """Every error is a `schema.Refusal`: a sentence, a name, the text at fault."""

    def refusal(error: RequestError) -> Response:
        return JSONResponse(error.told(), error.status)

    @app.exception_handler(RequestError)
    async def refused(_: Request, error: RequestError) -> Response:
        return refusal(error)

    @app.exception_handler(SeqlrpError)
    async def not_explained(_: Request, error: SeqlrpError) -> Response:
        return refusal(RequestError.of(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        first = error.errors()[0]  # what was sent is not sent back
        place = ".".join(str(part) for part in first["loc"] if part != "body") or "body"
        return refusal(RequestError(422, "invalid", f"{place[:100]}: {first['msg'][:200]}."))

    @app.exception_handler(HTTPException)
    async def http(_: Request, error: HTTPException) -> Response:
        return refusal(RequestError(error.status_code, "http", str(error.detail)))


def _units(units: Units, explanation: Explanation) -> list[schema.Unit]:
    return [
        schema.Unit(start=start, end=end, relevance=value, tokens=tokens)
        for (start, end), value, tokens in zip(
            units.spans.tolist(), units.values.tolist(), tokens_of(units, explanation), strict=True
        )
    ]


def _explained(model: LiveModel, one: Tried) -> schema.Explained:
    found = one.answer.explanation
    words, sentences = words_and_sentences(found)
    probabilities = found.probabilities
    assert isinstance(found.target, int)
    assert probabilities is not None
    return schema.Explained(
        text=found.text,
        words=_units(words, found),
        sentences=_units(sentences, found),
        predicted=found.labels[found.predicted],
        target=found.labels[found.target],
        against=None if found.against is None else found.labels[found.against],
        scores=found.scores.tolist(),
        probabilities=probabilities.tolist(),
        start=float(found.start),
        unread=found.unread,
        unknown=one.answer.unknown,
        edited=_edited(model, one),
    )


def _edited(model: LiveModel, one: Tried) -> schema.EditedAnswer | None:
    if one.without is None and one.before is None:
        return None
    return schema.EditedAnswer(
        struck=one.edited.struck,
        struck_words=one.struck,
        removal=one.removal,
        replaced=one.edited.replaced,
        without=None if one.without is None else _predicted(model, one.without),
        before=None if one.before is None else _predicted(model, one.before),
    )


def _predicted(model: LiveModel, scores: npt.NDArray[np.float32]) -> schema.Predicted:
    return schema.Predicted(
        predicted=model.classifier.labels[int(scores.argmax())],
        scores=scores.tolist(),
        probabilities=model.probabilities(scores).tolist(),
    )


def _answered_differently(model: LiveModel, examples: Sequence[str]) -> list[int]:
    """The numbers of few examples, a different answer each as far as there are such."""
    found: dict[int, int] = {}
    rest: list[int] = []
    for k in range(0, len(examples), max(len(examples) // TRIED, 1)):
        try:
            answer = int(model.scores(examples[k], [[]], "zero").result()[0].argmax())
        except (RequestError, SeqlrpError):
            continue
        if found.setdefault(answer, k) != k:
            rest.append(k)
        if len(found) == min(OFFERED, len(model.classifier.labels)) and (
            len(found) + len(rest) >= OFFERED
        ):
            break
    return sorted([*found.values(), *rest][:OFFERED])


def _described(model: LiveModel, about: str | None) -> schema.ModelDescription:
    vocabulary = model.classifier.vocabulary
    removals = [r for r in get_args(Removal) if r != "unk" or vocabulary.unk is not None]
    return schema.ModelDescription(
        name=model.name,
        labels=list(model.classifier.labels),
        fingerprint=model_fingerprint(model.classifier),
        vocabulary=len(vocabulary),
        kind=type(model.classifier.model).__name__,
        about=about,
        removals=removals,
    )
