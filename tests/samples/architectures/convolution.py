"""Convolutions over words and characters, alone and under a recurrent layer."""

# mypy: disable-error-code="no-any-return, no-untyped-call"

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from samples.architectures.registry import C, D, H, V, architecture


@architecture(reads_padding=True)
class KimCNN(nn.Module):
    # Kim 2014: windows of several widths as images, max over time.
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.convs = nn.ModuleList([nn.Conv2d(1, 4, (k, D)) for k in (2, 3, 4)])
        self.dropout = nn.Dropout(0.5)
        self.fc1 = nn.Linear(12, C)

    def forward(self, x: Tensor) -> Tensor:
        x = self.embed(x).unsqueeze(1)
        xs = [F.relu(conv(x)).squeeze(3) for conv in self.convs]
        xs = [F.max_pool1d(i, i.size(2)).squeeze(2) for i in xs]
        return self.fc1(self.dropout(torch.cat(xs, 1)))


@architecture(reads_zeros=True)
class MaskedCNN(nn.Module):
    # Windows that are centred on a word, and no maximum outside the document.
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(D, 4, k, padding="same") for k in (1, 3, 5))
        self.fc = nn.Linear(12, C)

    def forward(self, ids: Tensor) -> Tensor:
        pad = (ids == 0)[:, None]
        x = self.embed(ids).transpose(1, 2)
        pooled = [conv(x).relu().masked_fill(pad, 0).amax(-1) for conv in self.convs]
        return self.fc(torch.cat(pooled, dim=-1))


@architecture(reads_zeros=True)
class GatedConvolutions(nn.Module):
    # Dilated, gated by F.glu, with residuals (Dauphin et al. 2017).
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.convs = nn.ModuleList(nn.Conv1d(D, 2 * D, 3, padding=d, dilation=d) for d in (1, 2))
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(1)
        h = self.embed(ids).transpose(1, 2)
        for conv in self.convs:
            h = (h + F.glu(conv(h), dim=1)) * (0.5**0.5)
            h = h * mask
        return self.fc(h.sum(2) / mask.sum(2))


@architecture(reads_padding=True)
class ConvolutionThenLSTM(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv1d(D, 8, 3, padding=1), nn.BatchNorm1d(8), nn.ReLU(inplace=True), nn.MaxPool1d(2)
        )
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(8, H, batch_first=True)
        self.fc = nn.Linear(H, C)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.features(self.embed(ids).permute(0, 2, 1)).permute(0, 2, 1)
        _, (h, _) = self.lstm(x)
        return self.fc(h[-1])


@architecture(reads_padding=True)
class RecurrentCNN(nn.Module):
    # Lai et al. 2015: left context, word, right context; maximum over time.
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, bidirectional=True, batch_first=True)
        self.W = nn.Linear(D + 2 * H, 8)
        self.fc = nn.Linear(8, C)

    def forward(self, ids: Tensor) -> Tensor:
        embedded = self.embedding(ids)
        left, right = self.lstm(embedded)[0].chunk(2, dim=-1)
        x = torch.cat([left, embedded, right], 2)
        y = torch.tanh(self.W(x)).permute(0, 2, 1)
        return self.fc(F.max_pool1d(y, y.size()[2]).squeeze(2))


@architecture()
class MaskedRecurrentCNN(nn.Module):
    # The same, packed, and with the maximum of a linear layer over words only.
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(V, D, padding_idx=0)
        self.lstm = nn.LSTM(D, H, bidirectional=True, batch_first=True)
        self.W = nn.Linear(D + 2 * H, 8)
        self.fc = nn.Linear(8, C)

    def forward(self, ids: Tensor) -> Tensor:
        x, pad = self.embedding(ids), (ids == 0).unsqueeze(-1)
        packed = pack_padded_sequence(x, (ids != 0).sum(1).cpu(), True, enforce_sorted=False)
        out, _ = pad_packed_sequence(self.lstm(packed)[0], True, total_length=ids.shape[1])
        y = self.W(torch.cat((x, out), dim=-1))
        return self.fc(torch.tanh(y.masked_fill(pad, float("-inf")).max(dim=1).values))


@architecture(reads_zeros=True)
class KMaxPooling(nn.Module):
    # Kalchbrenner et al. 2014: the k largest of each channel, in their order.
    def __init__(self, k: int = 2) -> None:
        super().__init__()
        self.k = k
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.conv = nn.Conv1d(D, 4, 3, padding=1)
        self.fc = nn.Linear(4 * k, C)

    def forward(self, ids: Tensor) -> Tensor:
        x = self.conv(self.embed(ids).transpose(1, 2)).tanh()
        x = x.masked_fill((ids == 0).unsqueeze(1), 0)
        x = F.pad(x, (0, self.k))  # documents shorter than k
        index = x.topk(self.k, dim=2)[1].sort(dim=2)[0]
        return self.fc(x.gather(2, index).flatten(1))


@architecture(reads_padding=True)
class NormalisedConvolutions(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.body = nn.Sequential(
            nn.Conv1d(D, 8, 3, padding=1),
            nn.InstanceNorm1d(8, affine=True),
            nn.GELU(),
            nn.Conv1d(8, 8, 3, padding=1, groups=2),
            nn.GroupNorm(2, 8),
            nn.SiLU(inplace=True),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.fc = nn.Linear(8, C)

    def forward(self, ids: Tensor) -> Tensor:
        return self.fc(self.body(self.embed(ids).mT))


@architecture(reads_zeros=True)
class DeepPyramid(nn.Module):
    # Residual convolutions before activation; pooled by half (Johnson and Zhang 2017).
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(V, D, padding_idx=0)
        self.region = nn.Conv1d(D, D, 3, padding=1, bias=False)
        self.conv = nn.Conv1d(D, D, 3, padding=1)
        self.fc = nn.Linear(D, C)

    def forward(self, ids: Tensor) -> Tensor:
        mask = (ids != 0).unsqueeze(1).to(self.fc.weight.dtype)
        x = self.region(self.embed(ids).transpose(-1, -2)) * mask
        x = x + self.conv(F.relu(x)) * mask
        odd = x.size(2) % 2
        x, mask = F.avg_pool1d(F.pad(x, (0, odd)), 2), F.max_pool1d(F.pad(mask, (0, odd)), 2)
        x += self.conv(x.relu()) * mask
        return self.fc(x.sum(dim=-1))


class Spelled(nn.Module):
    """Words by their characters, which a table in the model knows."""

    spelling: Tensor

    def __init__(self) -> None:
        super().__init__()
        letters = torch.randint(1, 9, (V, 4))
        lengths = torch.randint(1, 5, (V, 1))
        letters[torch.arange(4) >= lengths] = 0
        letters[0] = 0
        self.register_buffer("spelling", letters)
        self.words = nn.Embedding(V, D, padding_idx=0)
        self.characters = nn.Embedding(9, 3, padding_idx=0)
        self.lstm = nn.LSTM(D + 4, H, batch_first=True)
        self.fc = nn.Linear(H, C)

    def of_characters(self, letters: Tensor) -> Tensor:
        raise NotImplementedError

    def forward(self, ids: Tensor) -> Tensor:
        B, T = ids.shape
        letters = self.spelling[ids].view(B * T, -1)
        x = torch.cat([self.words(ids), self.of_characters(letters).view(B, T, -1)], dim=2)
        lengths = (ids != 0).sum(1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        _, (h, _) = self.lstm(packed)
        return self.fc(h[0])


@architecture()
class CharacterCNN(Spelled):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv1d(3, 4, 3, padding=1)

    def of_characters(self, letters: Tensor) -> Tensor:
        return self.conv(self.characters(letters).transpose(1, 2)).max(dim=2)[0]


@architecture()
class CharacterLSTM(Spelled):
    def __init__(self) -> None:
        super().__init__()
        self.speller = nn.LSTM(3, 2, batch_first=True, bidirectional=True)

    def of_characters(self, letters: Tensor) -> Tensor:
        x = self.characters(letters)
        lengths = letters.ne(0).sum(1).clamp(min=1)
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        return self.speller(packed)[1][0].transpose(0, 1).flatten(1)
