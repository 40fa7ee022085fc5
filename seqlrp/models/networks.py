"""Recurrent text classifiers, token ids to scores: plain PyTorch modules."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from seqlrp.errors import IdsError, check_choice, check_number

Layout = Literal["words", "sentences"]
Cell = Literal["lstm", "gru"]
Pooling = Literal["last", "mean", "max", "attention"]


class RecurrentEncoder(nn.Module):
    """A recurrent layer and its pooling: vectors `[B, T, D]` to one vector a sequence `[B, E]`.

    `pooling` is "last" (the final hidden state of each direction), "mean" or "max" over the
    steps, or "attention" (a weighted mean whose weights are learnt). Steps from a row's length on
    never count. E is twice `hidden` where `bidirectional`.
    """

    def __init__(
        self,
        inputs: int,
        hidden: int,
        *,
        cell: Cell = "lstm",
        layers: int = 1,
        bidirectional: bool = True,
        pooling: Pooling = "attention",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.pooling = pooling
        recurrence = nn.LSTM if cell == "lstm" else nn.GRU
        self.recurrence = recurrence(
            inputs,
            hidden,
            num_layers=layers,
            batch_first=True,
            bidirectional=bidirectional,
            dropout=dropout if layers > 1 else 0.0,
        )
        if pooling == "attention":
            self.projection = nn.Linear(self.width, hidden)
            self.attention = nn.Linear(hidden, 1, bias=False)

    @property
    def width(self) -> int:
        """E, the size of the vector of a sequence."""
        return self.recurrence.hidden_size * (2 if self.recurrence.bidirectional else 1)

    def forward(self, vectors: Tensor, lengths: Tensor) -> Tensor:
        """Encode vectors `[B, T, D]`, of which the first `lengths` `[B]` in each row count."""
        packed = pack_padded_sequence(
            vectors, lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        states, final = self.recurrence(packed)
        if self.pooling == "last":
            hidden = final[0] if isinstance(self.recurrence, nn.LSTM) else final
            directions = 2 if self.recurrence.bidirectional else 1
            encoded: Tensor = hidden[-directions:].transpose(0, 1).flatten(1)
            return encoded
        steps = vectors.size(1)
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=steps)
        padding = torch.arange(steps, device=vectors.device) >= lengths.unsqueeze(1)
        if self.pooling == "mean":
            total = states.masked_fill(padding.unsqueeze(2), 0.0).sum(dim=1)
            return total / lengths.unsqueeze(1)
        if self.pooling == "max":
            return states.masked_fill(padding.unsqueeze(2), float("-inf")).max(dim=1).values
        energies = self.attention(torch.tanh(self.projection(states))).squeeze(2)
        weights = torch.softmax(energies.masked_fill(padding, float("-inf")), dim=1)
        return torch.bmm(weights.unsqueeze(1), states).squeeze(1)


class RecurrentClassifier(nn.Module):
    """A text as one sequence of words: ids `[B, T]` to scores `[B, C]`.

    A row ends with its last id that is not `padding_idx`. There is no `head_bias` unless asked for,
    because the bias of the last layer would hold relevance that no word gets.

    Raises:
        OptionError: a size below 1, a dropout outside [0, 1), an unknown cell or pooling.
    """

    layout: ClassVar[Layout] = "words"

    def __init__(
        self,
        vocabulary_size: int,
        classes: int,
        *,
        embedding: int = 50,
        hidden: int = 64,
        cell: Cell = "lstm",
        layers: int = 1,
        bidirectional: bool = True,
        pooling: Pooling = "attention",
        dropout: float = 0.5,
        head_bias: bool = False,
        padding_idx: int = 0,
    ) -> None:
        super().__init__()
        self.arguments: dict[str, Any] = {
            "vocabulary_size": vocabulary_size,
            "classes": classes,
            "embedding": embedding,
            "hidden": hidden,
            "cell": cell,
            "layers": layers,
            "bidirectional": bidirectional,
            "pooling": pooling,
            "dropout": dropout,
            "head_bias": head_bias,
            "padding_idx": padding_idx,
        }
        _check_arguments(self.arguments)
        self.padding_idx = padding_idx
        self.embedding = nn.Embedding(vocabulary_size, embedding, padding_idx=padding_idx)
        with torch.no_grad():
            # Small, so that words that are never learnt from say little.
            self.embedding.weight.mul_(0.05)
        self.encoder = self._encoder(embedding)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(self.encoder.width, classes, bias=head_bias)

    def _encoder(self, inputs: int) -> RecurrentEncoder:
        names = ("hidden", "cell", "layers", "bidirectional", "pooling", "dropout")
        return RecurrentEncoder(inputs, **{name: self.arguments[name] for name in names})

    def adopt_sizes(self) -> None:
        """Set `arguments` to the sizes of the layers, after their weights were replaced."""
        self.arguments |= {
            "vocabulary_size": self.embedding.num_embeddings,
            "embedding": self.embedding.embedding_dim,
            "hidden": self.encoder.recurrence.hidden_size,
            "head_bias": self.head.bias is not None,
        }

    def forward(self, ids: Tensor) -> Tensor:
        """Score ids `[B, T]` int64, padded on the right, as `[B, C]`."""
        if ids.dim() != 2:
            raise IdsError(f"Expected ids of shape [B, T], got {list(ids.shape)}.")
        vectors = self.dropout(self.embedding(ids))
        encoded = self.encoder(vectors, _lengths(ids != self.padding_idx))
        scores: Tensor = self.head(self.dropout(encoded))
        return scores


class HierarchicalClassifier(RecurrentClassifier):
    """A text as a sequence of sentences: ids `[B, S, W]` to scores `[B, C]`.

    One encoder reads the words of each sentence, a second one the vectors of the sentences. Options
    are those of `RecurrentClassifier`, and hold for both encoders.
    """

    layout: ClassVar[Layout] = "sentences"

    def __init__(self, vocabulary_size: int, classes: int, **options: Any) -> None:
        super().__init__(vocabulary_size, classes, **options)
        self.sentences = self._encoder(self.encoder.width)

    def forward(self, ids: Tensor) -> Tensor:
        """Score ids `[B, S, W]` int64, words padded on the right, sentences at the end."""
        if ids.dim() != 3:
            raise IdsError(f"Expected ids of shape [B, S, W], got {list(ids.shape)}.")
        documents, sentences, _ = ids.shape
        words = (ids != self.padding_idx).flatten(0, 1)
        counts = _lengths(words.any(dim=1).view(documents, sentences))
        # A sentence without words is left out, but every document keeps its first one.
        first = torch.arange(documents * sentences, device=ids.device) % sentences == 0
        rows = (words.any(dim=1) | first).nonzero().squeeze(1)
        vectors = self.dropout(self.embedding(ids.flatten(0, 1).index_select(0, rows)))
        read = self.encoder(vectors, _lengths(words.index_select(0, rows)))
        encoded = read.new_zeros(documents * sentences, self.encoder.width)
        encoded = encoded.index_put((rows,), read).view(documents, sentences, -1)
        scores: Tensor = self.head(self.dropout(self.sentences(self.dropout(encoded), counts)))
        return scores


def _lengths(words: Tensor) -> Tensor:
    """The length of each row of `words` `[B, T]`, up to the last True, and at least 1."""
    positions = torch.arange(1, words.size(1) + 1, device=words.device)
    return (positions * words).amax(dim=1).clamp(min=1)


def _check_arguments(arguments: dict[str, Any]) -> None:
    for name in ("vocabulary_size", "classes", "embedding", "hidden", "layers"):
        check_number(name, arguments[name], least=1, whole=True)
        arguments[name] = int(arguments[name])
    check_choice("cell", arguments["cell"], get_args(Cell))
    check_choice("pooling", arguments["pooling"], get_args(Pooling))
    check_number("dropout", arguments["dropout"], least=0, below=1)
    ids = arguments["vocabulary_size"]
    check_number("padding_idx", arguments["padding_idx"], least=0, below=ids, whole=True)
