"""Recurrent layers of PyTorch, as classifiers use them."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm, weight_norm
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from samples.architectures.registry import C, D, H, V, architecture


@architecture()
class PackedBiLSTMWithAdditiveAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, num_layers=2, bidirectional=True, batch_first=True, dropout=0.3)
        self.W = nn.Linear(2 * H, H)
        self.v = nn.Linear(H, 1, bias=False)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(2 * H, C)

    def forward(self, ids: Tensor) -> Tensor:
        mask = ids.ne(0)
        emb = self.dropout(self.embedding(ids))
        packed = pack_padded_sequence(
            emb, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False
        )
        out, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)
        energy = self.v(torch.tanh(self.W(out))).squeeze(2)
        weights = F.softmax(energy.masked_fill(~mask[:, : out.size(1)], -1e9), dim=1)
        context = torch.bmm(weights.unsqueeze(1), out).squeeze(1)
        return self.fc(self.dropout(context))


@architecture()
class GRUWithMaxPooling(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.rnn = nn.GRU(D, H, batch_first=True, bidirectional=True)
        self.linear = nn.Linear(2 * H, C)

    def forward(self, x: Tensor) -> Tensor:
        pad = (x == 0).unsqueeze(-1)
        lengths = x.count_nonzero(dim=1)
        h = self.embed(x)
        h = pack_padded_sequence(h, lengths.cpu(), batch_first=True, enforce_sorted=False)
        h, _ = pad_packed_sequence(self.rnn(h)[0], batch_first=True, total_length=x.shape[1])
        pooled, _ = h.masked_fill(pad, float("-inf")).max(dim=1)
        return self.linear(pooled)


@architecture(lengths=True)
class BiGRUWithLastStates(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, num_layers=2, bidirectional=True)
        self.out = nn.Sequential(nn.Dropout(), nn.Linear(2 * H, C))

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        x = self.emb(ids.t())
        _, h_n = self.gru(pack_padded_sequence(x, lengths.cpu(), enforce_sorted=False))
        h_n = h_n.view(2, 2, ids.size(0), H)[-1]
        return self.out(torch.cat((h_n[0], h_n[1]), dim=-1))


@architecture(reads_padding=True)
class KerasStyleLSTM(nn.Module):
    # The last step of a padded batch, as in many a first tutorial.
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.dense1 = nn.Linear(H, 8)
        self.dense2 = nn.Linear(8, C)

    def forward(self, ids: Tensor) -> Tensor:
        out, (_, _) = self.lstm(self.embedding(ids))
        return self.dense2(F.relu(self.dense1(out[:, -1, :])))


@architecture()
class ResidualLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, H, padding_idx=0)
        self.layers = nn.ModuleList(nn.LSTM(H, H, batch_first=True) for _ in range(3))
        self.head = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.emb(ids)
        for i, layer in enumerate(self.layers):
            y, _ = layer(h)
            h = y + h if i > 0 else y
        keep = (ids != 0).unsqueeze(-1)
        return self.head((h * keep).sum(1) / keep.sum(1).clamp(min=1))


@architecture()
class LSTMCellStack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.cells = nn.ModuleList([nn.LSTMCell(D, H), nn.LSTMCell(H, H)])
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        B, T = ids.size()
        x = self.emb(ids)
        hs = [x.new_zeros(B, H) for _ in self.cells]
        cs = [x.new_zeros(B, H) for _ in self.cells]
        for t in range(T):
            inp = x[:, t]
            m = (ids[:, t] != 0).to(x.dtype).unsqueeze(1)
            for k, cell in enumerate(self.cells):
                h, c = cell(inp, (hs[k], cs[k]))
                hs[k] = m * h + (1 - m) * hs[k]
                cs[k] = m * c + (1 - m) * cs[k]
                inp = hs[k]
        return self.fc(hs[-1])


@architecture()
class GRUCellLoop(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.cell = nn.GRUCell(D, H)
        self.h0 = nn.Parameter(torch.zeros(1, H))
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        h = self.h0.expand(ids.shape[0], -1)
        for x_t, id_t in zip(torch.unbind(self.emb(ids), dim=1), torch.unbind(ids, 1), strict=True):
            h = torch.where(id_t.unsqueeze(-1) != 0, self.cell(x_t, h), h)
        return self.fc(h)


@architecture()
class ElmanRNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.rnn = nn.RNN(D, H, nonlinearity="relu", batch_first=True)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        outputs, _ = self.rnn(self.emb(ids))
        last = (ids != 0).sum(1) - 1
        index = last.view(-1, 1, 1).expand(-1, 1, outputs.size(2))
        return self.fc(outputs.gather(1, index).squeeze(1))


@architecture()
class LSTMWithProjection(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, 8, proj_size=4, batch_first=True)
        self.fc = nn.Linear(4, C)

    def forward(self, ids: Tensor) -> Tensor:
        out = self.lstm(self.emb(ids))[0]
        last = ids.ne(0).sum(1).sub(1)
        return self.fc(out[torch.arange(len(ids)), last])


@architecture()
class WeightNormedGRU(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = weight_norm(nn.GRU(D, H, batch_first=True), "weight_hh_l0")
        self.hidden = weight_norm(nn.Linear(H, H))
        self.fc = spectral_norm(nn.Linear(H, C))

    def forward(self, ids: Tensor) -> Tensor:
        lengths = (ids > 0).sum(1)
        packed = pack_padded_sequence(self.emb(ids), lengths.cpu(), True, False)
        _, h = self.gru(packed)
        return self.fc(F.relu(self.hidden(h.squeeze(0))))


class _Inner(nn.Module):
    """Encodes `[N, T]` with attention, as a hierarchical network does on both levels."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.gru = nn.GRU(size, H, bidirectional=True, batch_first=True)
        self.proj = nn.Linear(2 * H, 2 * H)
        self.context = nn.Parameter(torch.randn(2 * H))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        lengths = mask.sum(1).clamp(min=1)  # a sentence of padding still needs a step
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.size(1))
        u = torch.tanh(self.proj(out))
        a = torch.matmul(u, self.context).masked_fill(mask.logical_not(), -1e9)
        return torch.sum(torch.softmax(a, 1)[..., None] * out, 1)


@architecture(fed="sentences")
class HierarchicalAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.words, self.sentences = _Inner(D), _Inner(2 * H)
        self.classifier = nn.Linear(2 * H, C)

    def forward(self, docs: Tensor) -> Tensor:
        B, S, W = docs.shape
        flat = docs.reshape(B * S, W)
        vectors = self.words(self.emb(flat), flat != 0).reshape(B, S, -1)
        return self.classifier(self.sentences(vectors, (docs != 0).any(-1)))


@architecture(output="logits")
class ReturnsADict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, batch_first=True)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> dict[str, Any]:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        _, (h, _) = self.lstm(packed)
        logits = self.fc(h[-1])
        return {"logits": logits, "probabilities": logits.softmax(-1), "loss": None}


@architecture(output=0)
class ReturnsItsAttention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> tuple[Tensor, Tensor]:
        out, _ = self.gru(self.emb(ids))
        # Luong: the state after the last word asks all states
        last = out[range(len(ids)), (ids != 0).sum(1) - 1]
        scores = torch.einsum("bth,bh->bt", out, last)
        scores[ids == 0] = -1e4
        alpha = scores.softmax(dim=-1)
        return self.fc(torch.einsum("bt,bth->bh", alpha, out)), alpha


@architecture()
class SingleOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, batch_first=True, bidirectional=True)
        self.fc = nn.Linear(2 * H, 1)

    def forward(self, ids: Tensor) -> Tensor:
        packed = pack_padded_sequence(self.emb(ids), (ids != 0).sum(1).cpu(), True, False)
        h = self.lstm(packed)[1][0]
        return self.fc(torch.hstack([h[-2], h[-1]])).squeeze(-1)


@architecture()
class MultiLabel(nn.Module):
    # Scores before the sigmoid, a head for each label.
    def __init__(self) -> None:
        super().__init__()
        self.emb = nn.Embedding(V, D, padding_idx=0)
        self.gru = nn.GRU(D, H, batch_first=True)
        self.heads = nn.ModuleDict({k: nn.Linear(H, 1) for k in ("toxic", "threat", "insult")})

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(-1).expand(-1, -1, H)
        out = self.gru(self.emb(ids))[0]
        top = torch.where(mask, out, torch.full_like(out, -1e9)).amax(dim=1)
        return torch.cat([head(top) for head in self.heads.values()], dim=1)
