"""Contextual decomposition: what a phrase makes of the score by itself, through an LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from seqlrp.batching import BatchTokens, Budget, in_batches
from seqlrp.errors import IdsError, ModelError, NonFiniteError, OptionError, RefusedFunctionError
from seqlrp.lrp import Attribution, door
from seqlrp.lrp.ledger import Books
from seqlrp.methods.decomposed_lstm import Parts, lstm
from seqlrp.methods.explainer import Explainer
from seqlrp.methods.recorded_lstm import Recorded, RecordingRun, refuse_meeting
from seqlrp.methods.removal import BATCH_TOKENS

_MIXED = "The model mixes the documents"  # which are words here, up to the LSTM


class Decomposition(NamedTuple):
    """The score in two parts, for each of P phrases: `[B, P]`, or `[B, C, P]` for all classes.

    Attributes:
        inside: β, what the phrase makes of the score by itself.
        outside: γ, all that other words or biases have to do with.
        scores: `[B, C]`, as the model returned them; β + γ is the target's, to rounding.
        target: class explained, int64 `[B]`, or None for all.
        against: the class that it was compared with, if any.
    """

    inside: Tensor
    outside: Tensor
    scores: Tensor
    target: Tensor | None
    against: Tensor | None


class _Run(NamedTuple):
    """What one forward pass found, and the γ (of LRP) of what its LSTMs returned."""

    run: RecordingRun
    scores: Tensor
    wanted: Tensor | None
    against: Tensor | None
    padding: Tensor
    gammas: list[tuple[Tensor, ...]]  # for each recorded call, [K, ·] of each leaf
    rest: Tensor  # of the score that comes from elsewhere, [K, B]


class ContextualDecomposition(Explainer):
    """Contextual decomposition of an LSTM for a word or a phrase (Murdoch, Liu, Yu 2018).

    States are split into h = β + γ, where β is what comes of the phrase alone; through gates, a
    sum of terms under tanh or σ is split by L, the mean over all orders of adding the terms. A
    word's value is the β of the score with this word as the phrase. The values of several words do
    not add up to that of their phrase, nor to the score: what they make together is in neither.

    The model has one `nn.LSTM` (several side by side are right too), of any number of layers and
    directions, packed or padded; all parts of it are decomposed with the same phrase. From the
    LSTM on, β goes through linear maps as it is, and the rest is held constant at what the full
    run gives: masks, the weights of attention, the steps that a maximum takes, and the ratio
    f(x)/x of an elementwise function. Padding is never a phrase.

    Args:
        model: as for `seqlrp.LRP`.
        variant: `"paper"`, the equations of the paper; or `"released"`, the code that its authors
            released, where L runs over two terms and biases that meet at a word of the phrase are
            counted in (see `decomposed_lstm.lstm`).
        batch_tokens: the most steps of phrases at a time; halved when memory runs out.
        output: which part of the model's output holds the scores, if it returns several.

    Raises:
        OptionError: an option has a value that is not allowed.
        ModelError: the model cannot be run as it is, or has another recurrence than an LSTM.
    """

    name = "contextual_decomposition"

    def __init__(
        self,
        model: nn.Module,
        variant: str = "paper",
        *,
        batch_tokens: BatchTokens = BATCH_TOKENS,
        output: int | str | None = None,
    ) -> None:
        if variant not in ("paper", "released"):
            raise OptionError(f"Got variant={variant!r}; expected 'paper' or 'released'.")
        Budget(batch_tokens, torch.device("cpu"))  # refuses what is none
        super().__init__(model, output=output)
        self.variant = variant
        self.batch_tokens = batch_tokens

    @property
    def parameters(self) -> dict[str, Any]:
        """The variant."""
        return {"variant": self.variant}

    def attribution(
        self,
        inputs: Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Attribution:
        """Attribution `[B, T]` or `[B, C, T]`, 0 on padding; each word is a phrase.

        Raises:
            ModelError: words meet elsewhere than in an LSTM, or the model returns no scores.
            InputError: ids, target or padding are not what was expected.
        """
        run = self._run(inputs, target, additional_forward_args, padding)
        place = (~run.padding).flatten(1).nonzero()  # [P, 2]: documents, and words of them
        each = run.padding[0].numel()
        phrases = torch.zeros(len(place), each, dtype=torch.bool, device=place.device)
        phrases[torch.arange(len(place), device=place.device), place[:, 1]] = True
        inside = self._decomposed(run, place[:, 0], phrases).inside
        relevance = inside.new_zeros(len(inside), len(run.padding), each)
        relevance[:, place[:, 0], place[:, 1]] = inside
        relevance = relevance.reshape(len(inside), *run.padding.shape)
        shown = relevance[0] if run.wanted is not None else relevance.transpose(0, 1)
        return Attribution(shown, run.scores, run.wanted, None, run.against)

    @torch.inference_mode(False)
    def decomposition(
        self,
        inputs: Tensor,
        phrases: Sequence[tuple[int, int]] | Tensor,
        target: door.Target = "predicted",
        additional_forward_args: Any = None,
        *,
        padding: Tensor | None = None,
    ) -> Decomposition:
        """The score in two parts for each phrase, which are `[B, P]`, or `[B, C, P]` for `"all"`.

        Args:
            inputs: ids `[B, T]` or vectors `[B, T, D]`.
            phrases: words `start` to before `stop`, the same for all documents, as pairs; or bool
                `[B, P, T]`, True on the words of each phrase, which need not be adjacent.
            target: as for `attribution`.
            additional_forward_args: what the model takes after its input.
            padding: bool, shaped as the ids, True on padding, which is no part of a phrase.
        """
        run = self._run(inputs, target, additional_forward_args, padding)
        count, each = len(run.padding), run.padding[0].numel()
        if not isinstance(phrases, Tensor):
            spans = torch.zeros(1, len(phrases), each, dtype=torch.bool)
            for k, (start, stop) in enumerate(phrases):
                if not 0 <= start < stop <= each:
                    raise IdsError(
                        f"Got the phrase {(start, stop)}; expected 0 <= start < stop <= {each}."
                    )
                spans[0, k, start:stop] = True
            phrases = spans.expand(count, -1, -1)
        if phrases.dtype != torch.bool or phrases[:, 0].shape != run.padding.shape:
            raise IdsError(
                f"Got phrases of dtype {phrases.dtype} and shape {list(phrases.shape)}; expected "
                f"bool [{count}, P, {', '.join(map(str, run.padding.shape[1:]))}]."
            )
        masks = phrases.to(run.padding.device).flatten(2) & ~run.padding.flatten(1).unsqueeze(1)
        documents = torch.arange(count, device=masks.device).repeat_interleave(masks.shape[1])
        parts = self._decomposed(run, documents, masks.flatten(0, 1))
        inside, outside = (part.reshape(len(part), count, -1) for part in parts)  # [K, B, P]
        if run.wanted is not None:
            inside, outside = inside[0], outside[0]
        else:
            inside, outside = inside.transpose(0, 1), outside.transpose(0, 1)
        return Decomposition(inside, outside, run.scores, run.wanted, run.against)

    def _run(
        self, inputs: Tensor, target: door.Target, additional: Any, padding: Tensor | None
    ) -> _Run:
        door.checked_model(self.model)
        door.check_input(inputs)
        door.check_dtype(inputs, self.model)
        if inputs.ndim < 2:
            raise IdsError(
                f"Got ids of shape {list(inputs.shape)}; {self.name} needs a row for each "
                f"document, [B, T]."
            )
        run = RecordingRun(self.model, len(inputs), self.name)
        with torch.enable_grad():
            try:
                output = door.selected(run.run(self.model, inputs, additional), self.output)
                mark = run.known(output) if isinstance(output, Tensor) else None
                if mark is not None and mark.inert:  # words act on the scores through gates alone
                    run.signal(output, mark, "The output")
                squashed = type(getattr(output, "grad_fn", None)).__name__ == "_SoftmaxBackward"
                gate = mark is not None and (mark.gate or squashed)
                scores = door.checked_scores(output, len(inputs), gate=gate)
                run.check_documents(scores.detach(), mark)
            except RefusedFunctionError:
                raise
            except ModelError as error:
                if str(error).startswith(_MIXED):
                    refuse_meeting(self.name)
                raise
            if not run.recorded:
                raise RefusedFunctionError(
                    f"The model calls no nn.LSTM on its words, of which {self.name} is; take "
                    f"another method, 'lrp' say."
                )
            padding = door.padding_given(padding, run.ids_shape)
            padding = run.padding if padding is None else padding
            if padding is None:
                padding = torch.zeros(run.ids_shape, dtype=torch.bool, device=inputs.device)
            door.check_padding(padding)
            wanted, against = door.resolved_contrast(target, scores)
            values = scores.detach()
            if mark is None:
                door.refuse_no_embedding()
            scores = run.signal(output, mark, "The output").reshape(values.shape)
            starts = door.starts(scores, wanted, against)
            leaves = [leaf for call in run.recorded for leaf in call.leaves]
            found: list[list[Tensor]] = [[] for _ in leaves]
            rest = []
            for k, start in enumerate(starts):
                run.books = Books(len(inputs))
                gammas = torch.autograd.grad(
                    start.sum(), [*leaves, *run.ends], retain_graph=k + 1 < len(starts),
                    allow_unused=True,
                )  # fmt: skip
                for held, leaf, gamma in zip(found, leaves, gammas[: len(leaves)], strict=True):
                    held.append(torch.zeros_like(leaf) if gamma is None else gamma)
                booked = run.books.close().values()
                nothing = torch.zeros(len(inputs), dtype=torch.float64, device=inputs.device)
                rest.append(sum(booked, nothing))
        stacked = iter([torch.stack(held) for held in found])
        each = [tuple(next(stacked) for _ in call.leaves) for call in run.recorded]
        return _Run(run, values, wanted, against, padding, each, torch.stack(rest))

    def _decomposed(self, run: _Run, documents: Tensor, phrases: Tensor) -> Parts:
        """β and γ of the scores, `[K, P]` each, for phrases `[P, T]` of documents `[P]`."""
        wide = torch.promote_types(run.scores.dtype, torch.float32)
        inside = torch.zeros(
            len(run.rest), len(documents), dtype=torch.float64, device=documents.device
        )
        outside = run.rest.to(documents.device)[:, documents]
        budget = Budget(self.batch_tokens, documents.device, halves=True)
        for call, gammas in zip(run.run.recorded, run.gammas, strict=True):
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
                    return p, self._of_sequences(call, gammas, s, phrases[p])

            for _, (p, parts) in in_batches(call.lengths[sequence].tolist(), budget, work):
                inside.index_add_(1, p, parts.inside)
                outside = outside.index_add(1, p, parts.outside)
        if not bool((inside.isfinite() & outside.isfinite()).all()):
            raise NonFiniteError(
                f"{self.name} found a part of a score that is NaN or infinite; look for "
                f"overflowing weights."
            )
        return Parts(inside.to(wide), outside.to(wide))

    def _of_sequences(
        self, call: Recorded, gammas: tuple[Tensor, ...], sequence: Tensor, phrases: Tensor
    ) -> Parts:
        """What n sequences, each with a phrase `[n, T]`, give to the scores: `[K, n]`, float64."""
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
        # γ of LRP is what one unit of an output carries of a score.
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
