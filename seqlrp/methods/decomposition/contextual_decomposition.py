"""Contextual decomposition: the contribution of a phrase alone to the score of an LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.engine.attribution import Attribution
from seqlrp.engine.batches import BatchTokens, Budget, in_batches
from seqlrp.engine.checks import Target, check_dtype
from seqlrp.engine.explainer import Explainer, Forward
from seqlrp.engine.ledger import Books
from seqlrp.errors import (
    IdsError,
    MixedDocumentsError,
    NonFiniteError,
    RefusedFunctionError,
    check_choice,
)
from seqlrp.methods.copies import BATCH_TOKENS
from seqlrp.methods.decomposition.decomposed_lstm import Parts, lstm
from seqlrp.methods.decomposition.recorded_lstm import Recorded, RecordingRun
from seqlrp.methods.decomposition.words import WordRun, refuse_meeting


class Decomposition(NamedTuple):
    """The score in two parts, for each of P phrases: `[B, P]`, or `[B, C, P]` for all classes.

    Attributes:
        inside: β, the contribution of the phrase alone.
        outside: γ, the rest, which involves other words or biases.
        scores: `[B, C]`, as the model returned them; β + γ is the target's score, to rounding.
        target: the explained class, int64 `[B]`, or None for all.
        against: the class that the target was compared with, if any.
    """

    inside: Tensor
    outside: Tensor
    scores: Tensor
    target: Tensor | None
    against: Tensor | None


class _Record(NamedTuple):
    """The result of one forward pass, and γ (of LRP with ε = 0) at the outputs of its LSTMs."""

    forward: Forward
    calls: list[Recorded]
    gammas: list[tuple[Tensor, ...]]  # for each recorded call, [K, ·] of each leaf
    rest: Tensor  # the part of the score from other sources than the LSTMs, [K, B]


class ContextualDecomposition(Explainer):
    """Contextual decomposition of an LSTM for a word or a phrase (Murdoch, Liu, Yu 2018).

    States are split into h = β + γ, where β comes from the phrase alone. At tanh and σ, a sum of
    terms is split by L, the mean over all orders of adding the terms. A word's value is the β of
    the score with this word as the phrase. The values of several words do not add up to that of
    their phrase, nor to the score, because they do not include interactions.

    The model has one `nn.LSTM` (or several in parallel), of any number of layers and directions,
    packed or padded; all of it is decomposed with the same phrase. Above the LSTM, β passes through
    linear maps, and all other factors have their constant values from the full run: masks,
    attention weights, the steps that a maximum selects, and the ratio f(x)/x of an elementwise
    function. Padding is never part of a phrase.

    Args:
        model: an `nn.Module` in evaluation mode, see `seqlrp.LRP`.
        variant: `"paper"`, the equations of the paper; or `"released"`, the code of its authors, in
            which L has two terms and β includes products of biases at a word of the phrase (see
            `decomposed_lstm.lstm`).
        batch_tokens: the most steps of phrases at a time; halved when memory runs out.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is, or has another recurrence than an LSTM.
    """

    name = "contextual_decomposition"
    allows_empty_documents = False

    def __init__(
        self,
        model: nn.Module,
        variant: str = "paper",
        *,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        check_choice("variant", variant, ("paper", "released"))
        Budget(batch_tokens, torch.device("cpu"))  # checks batch_tokens
        super().__init__(model, output=output)
        self.variant = variant
        self.batch_tokens = batch_tokens

    @property
    def parameters(self) -> dict[str, Any]:
        """Return the variant."""
        return {"variant": self.variant}

    def compute(
        self, inputs: Tensor, target: Target, additional_forward_args: Any, padding: Tensor | None
    ) -> Attribution:
        """Compute an attribution `[B, T]` or `[B, C, T]`, 0 on padding; each word is a phrase.

        Raises:
            ModelError: words interact outside of an LSTM, or the model returns no scores.
            InputError: ids, target or padding are not what was expected.
        """
        record = self._record(inputs, target, additional_forward_args, padding)
        padding = record.forward.padding
        place = (~padding).flatten(1).nonzero()  # [P, 2]: document and position of each word
        each = padding[0].numel()
        phrases = torch.zeros(len(place), each, dtype=torch.bool, device=place.device)
        phrases[torch.arange(len(place), device=place.device), place[:, 1]] = True
        inside = self._decompose(record, place[:, 0], phrases).inside
        relevance = inside.new_zeros(len(inside), len(padding), each)
        relevance[:, place[:, 0], place[:, 1]] = inside
        return record.forward.attribution(relevance.reshape(len(inside), *padding.shape))

    @torch.inference_mode(False)
    def decomposition(
        self,
        inputs: Tensor,
        phrases: Sequence[tuple[int, int]] | Tensor,
        target: Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Decomposition:
        """Decompose the score for each phrase into two parts `[B, P]`, or `[B, C, P]` for `"all"`.

        Args:
            inputs: ids `[B, T]` or vectors `[B, T, D]`.
            phrases: pairs (start, stop), stop excluded, the same for all documents; or bool
                `[B, P, T]`, True on the words of each phrase, which need not be adjacent.
            target: the explained class, see `attribute`.
            additional_forward_args: the model's arguments after its input.
            padding: bool, shaped as the ids, True on padding, which is no part of a phrase.
        """
        record = self._record(inputs, target, additional_forward_args, padding)
        forward, padding = record.forward, record.forward.padding
        count, each = len(padding), padding[0].numel()
        if not isinstance(phrases, Tensor):
            spans = torch.zeros(1, len(phrases), each, dtype=torch.bool)
            for k, (start, stop) in enumerate(phrases):
                if not 0 <= start < stop <= each:
                    raise IdsError(
                        f"Got the phrase {(start, stop)}; expected 0 <= start < stop <= {each}."
                    )
                spans[0, k, start:stop] = True
            phrases = spans.expand(count, -1, -1)
        if phrases.dtype != torch.bool or phrases[:, 0].shape != padding.shape:
            raise IdsError(
                f"Got phrases of dtype {phrases.dtype} and shape {list(phrases.shape)}; expected "
                f"bool [{count}, P, {', '.join(map(str, padding.shape[1:]))}]."
            )
        masks = phrases.to(padding.device).flatten(2) & ~padding.flatten(1).unsqueeze(1)
        documents = torch.arange(count, device=masks.device).repeat_interleave(masks.shape[1])
        parts = self._decompose(record, documents, masks.flatten(0, 1))
        inside, outside = (part.reshape(len(part), count, -1) for part in parts)  # [K, B, P]
        inside, outside = forward.by_document(inside), forward.by_document(outside)
        scores = forward.scores.detach()
        return Decomposition(inside, outside, scores, forward.target, forward.against)

    def check_call(self, inputs: Tensor) -> list[nn.Parameter]:
        """Check the model and the input, which must have one row per document."""
        parameters = super().check_call(inputs)
        check_dtype(inputs, parameters)
        if inputs.ndim < 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; {self.name} needs a row for each "
                f"document, [B, T]."
            )
        return parameters

    def _record(
        self, inputs: Tensor, target: Target, additional: Any, padding: Tensor | None
    ) -> _Record:
        """Run the model forward, and backward for each start."""
        self.check_call(inputs)
        words = self._words(inputs, target, additional, padding)
        run = RecordingRun(self.model, len(inputs), words)
        forward = self.run(run, inputs, target, additional, padding)
        self.check_others(forward, inputs, additional)
        leaves = [leaf for call in run.recorded for leaf in call.leaves]
        of_leaves: list[list[Tensor]] = [[] for _ in leaves]
        rest = []
        with torch.enable_grad():
            starts = forward.starts
            for k, start in enumerate(starts):
                run.books = Books(len(inputs))
                gammas = torch.autograd.grad(
                    start.sum(), [*leaves, *run.ends], retain_graph=k + 1 < len(starts),
                    allow_unused=True,
                )  # fmt: skip
                for of_leaf, leaf, gamma in zip(of_leaves, leaves, gammas, strict=False):
                    of_leaf.append(torch.zeros_like(leaf) if gamma is None else gamma)
                nothing = torch.zeros(len(inputs), dtype=torch.float64, device=inputs.device)
                rest.append(sum(run.books.close().values(), nothing))
        stacked = iter([torch.stack(of_leaf) for of_leaf in of_leaves])
        by_call = [tuple(next(stacked) for _ in call.leaves) for call in run.recorded]
        return _Record(forward, run.recorded, by_call, torch.stack(rest))

    def _words(
        self, inputs: Tensor, target: Target, additional: Any, padding: Tensor | None
    ) -> list[Tensor]:
        """Run the model and find the words that each call of an LSTM reads, see `WordRun`.

        Raises:
            RefusedFunctionError: it calls no LSTM, or words meet elsewhere.
        """
        count = inputs.shape[:2].numel() if inputs.is_floating_point() else inputs.numel()
        run = WordRun(self.model, count, self.name)
        try:
            self.run(run, inputs, target, additional, padding)
        except MixedDocumentsError:  # of words, which this run follows
            refuse_meeting(self.name)
        if not run.words:
            raise RefusedFunctionError(
                f"The model calls no nn.LSTM on its words, of which {self.name} is; take "
                f"another method, 'lrp' say."
            )
        return run.words

    def _decompose(self, record: _Record, documents: Tensor, phrases: Tensor) -> Parts:
        """Compute β and γ of the scores, `[K, P]` each, for phrases `[P, T]` of documents `[P]`."""
        wide = torch.promote_types(record.forward.scores.dtype, torch.float32)
        inside = torch.zeros(
            len(record.rest), len(documents), dtype=torch.float64, device=documents.device
        )
        outside = record.rest.to(documents.device)[:, documents]
        budget = Budget(self.batch_tokens, documents.device, halves=True)
        for call, gammas in zip(record.calls, record.gammas, strict=True):
            phrase, sequence = (documents.unsqueeze(1) == call.documents).nonzero().T

            def work(
                batch: list[int],
                call: Recorded = call,
                gammas: tuple[Tensor, ...] = gammas,
                phrase: Tensor = phrase,
                sequence: Tensor = sequence,
            ) -> tuple[Tensor, Parts]:
                chosen = torch.tensor(batch, device=phrase.device)
                p, s = phrase[chosen], sequence[chosen]
                with torch.no_grad():
                    return p, self._score_parts(call, gammas, s, phrases[p])

            for _, (p, parts) in in_batches(call.lengths[sequence].tolist(), budget, work):
                inside.index_add_(1, p, parts.inside)
                outside = outside.index_add(1, p, parts.outside)
        if not bool((inside.isfinite() & outside.isfinite()).all()):
            raise NonFiniteError(
                f"{self.name} found a part of a score that is NaN or infinite; look for "
                f"overflowing weights."
            )
        return Parts(inside.to(wide), outside.to(wide))

    def _score_parts(
        self, call: Recorded, gammas: tuple[Tensor, ...], sequence: Tensor, phrases: Tensor
    ) -> Parts:
        """Return the score parts `[K, n]`, float64, of n sequences, each with a phrase `[n, T]`."""
        lengths = call.lengths[sequence]
        steps = int(lengths.max())
        row, word = call.row[:steps, sequence], call.word[:steps, sequence]
        each = phrases.shape[1]
        column = torch.arange(len(sequence), device=word.device)
        member = phrases[column, word.clamp(min=0) % each] & (word >= 0)
        dtype = call.weights[0].ih.dtype
        x = call.x[row].to(dtype)
        made = Parts(x, torch.zeros_like(x))
        finals: list[tuple[Parts, Parts]] = []
        for layer in range(len(call.weights) // call.directions):
            outputs = []
            for way in range(call.directions):
                k = layer * call.directions + way
                h0, c0 = (state[k, sequence].to(dtype) for state in (call.h0, call.c0))
                out, *final = lstm(
                    made, h0, c0, call.weights[k], lengths, member, reverse=way == 1,
                    words=layer == 0, released=self.variant == "released",
                )  # fmt: skip
                outputs.append(out)
                finals.append((final[0], final[1]))
            made = Parts(*(torch.cat(parts, -1) for parts in zip(*outputs, strict=True)))
        # γ of LRP is the relevance per unit of an output.
        exists = (torch.arange(steps, device=word.device).unsqueeze(1) < lengths).unsqueeze(-1)
        carried = gammas[0][:, row].double() * exists
        total = [torch.einsum("ktnr,tnr->kn", carried, part.double()) for part in made]
        for k, states in enumerate(finals):
            for gamma, state in zip(gammas[1:], states, strict=True):
                unit = gamma[:, k, sequence].double()
                for part in range(2):
                    total[part] = total[part] + torch.einsum(
                        "knr,nr->kn", unit, state[part].double()
                    )
        return Parts(*total)
