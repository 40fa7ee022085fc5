"""Slow float64 oracle: faithfulness, plausibility and paired statistics.

Every function takes plain sequences of numbers; loops only. NaN is returned where a quantity is
undefined.
"""

import math
from itertools import product

import numpy as np


def aopc(scores, normalise="K"):
    """Samek et al. 2017 (IEEE TNNLS), eq. (12): AOPC = 1/(L+1) sum_{k=0..L} (f(x_0) - f(x_k)).

    The k=0 term is 0. scores[k]: target score after deleting the first k words, k = 0..K.
    normalise="K": 1/K, the mean over k=1..K (default); normalise="K+1": 1/(K+1), as in the paper.
    The mean over documents (the <.> of the paper) is not taken.
    """
    K = len(scores) - 1
    if K < 1:
        return math.nan
    total = 0.0
    for k in range(1, K + 1):
        total += float(scores[0]) - float(scores[k])
    return total / {"K": K, "K+1": K + 1}[normalise]


def _bin_mean(p_full, p_bins, normalise, zero_bin):
    bins = [float(p) for p in np.atleast_1d(np.array(p_bins, dtype=np.float64))]
    if len(bins) == 0:
        return math.nan
    total = 0.0
    for p in bins:
        total += float(p_full) - p
    if normalise == "B+1":
        return (total + zero_bin) / (len(bins) + 1)
    if normalise != "B":
        raise ValueError(normalise)
    return total / len(bins)


def comprehensiveness(p_full, p_without, normalise="B"):
    """DeYoung et al. 2020 (ERASER, ACL), eq. (1): m(x)_j - m(x without r)_j. A scalar p_without
    gives eq. (1) itself; a list (one per bin, e.g. top 1, 5, 10, 20, 50 %) gives the AOPC variant
    of section 4.2: "B" = mean over the given bins (default, also what the published code does);
    "B+1" = the printed 1/(|B|+1) sum_{k=0..|B|}, r_0 empty, term 0.
    """
    return _bin_mean(p_full, p_without, normalise, 0.0)


def sufficiency(p_full, p_only, normalise="B", p_empty=None):
    """DeYoung et al. 2020, eq. (2): m(x)_j - m(r)_j, lower is better, no clipping at 0, no
    rescaling. As above; with "B+1" the bin k=0 keeps no word, so p_empty (score of the empty
    document) must be given.
    """
    zero = 0.0
    if normalise == "B+1":
        if p_empty is None:
            raise ValueError("B+1 needs p_empty")
        zero = float(p_full) - float(p_empty)
    return _bin_mean(p_full, p_only, normalise, zero)


def auroc(scores, inside):
    """Mann & Whitney 1947 / Hanley & McNeil 1982: share of (inside, outside) pairs in the right
    order, ties 1/2."""
    pos = [float(s) for s, y in zip(scores, inside, strict=True) if y]
    neg = [float(s) for s, y in zip(scores, inside, strict=True) if not y]
    if not pos or not neg:
        return math.nan
    won = 0.0
    for p in pos:
        for q in neg:
            won += 1.0 if p > q else (0.5 if p == q else 0.0)
    return won / (len(pos) * len(neg))


def average_precision(scores, inside):
    """AP = sum_n (R_n - R_{n-1}) P_n over the DISTINCT score values from the highest down
    (step-wise, no interpolation; the definition in scikit-learn's average_precision_score). Ties:
    all words of equal score enter at once.
    """
    pairs = [(float(s), bool(y)) for s, y in zip(scores, inside, strict=True)]
    n_pos = sum(1 for _, y in pairs if y)
    if n_pos == 0:
        return math.nan
    ap, last_recall = 0.0, 0.0
    for threshold in sorted({s for s, _ in pairs}, reverse=True):
        taken = [y for s, y in pairs if s >= threshold]
        recall, precision = sum(taken) / n_pos, sum(taken) / len(taken)
        ap += (recall - last_recall) * precision
        last_recall = recall
    return ap


def token_f1_iou(scores, inside):
    """DeYoung et al. 2020, section 4.1 (token F1; IOU on tokens). Predicted = the top k words, k =
    number inside (so precision = recall = F1). Ties at the cut: the earlier word wins. Returns (f1,
    iou); iou = |A and B| / |A or B|.
    """
    n, k = len(scores), sum(1 for y in inside if y)
    if k == 0:
        return math.nan, math.nan
    order = sorted(range(n), key=lambda i: (-float(scores[i]), i))
    predicted, gold = set(order[:k]), {i for i in range(n) if inside[i]}
    hit = len(predicted & gold)
    precision, recall = hit / len(predicted), hit / len(gold)
    f1 = 0.0 if hit == 0 else 2 * precision * recall / (precision + recall)
    return f1, hit / len(predicted | gold)


def _differences(a, b):
    assert len(a) == len(b)
    return [float(p) - float(q) for p, q in zip(a, b, strict=True)]


def paired_bootstrap(a, b, seed, n, level=0.95):
    """Efron & Tibshirani 1993, ch. 13: percentile interval of mean(a - b), documents resampled with
    replacement.

    Draws: numpy default_rng(seed), n times rng.integers(0, N, size=N), in that order. Quantiles
    (1-level)/2 and 1-(1-level)/2 with linear interpolation between order statistics at (n-1)q
    (numpy's default). Returns (low, high).
    """
    d = _differences(a, b)
    N, rng, means = len(d), np.random.default_rng(seed), []
    for _ in range(n):
        picks = rng.integers(0, N, size=N)
        means.append(math.fsum(d[int(i)] for i in picks) / N)
    means.sort()

    def quantile(q):
        at = (n - 1) * q
        low = math.floor(at)
        high = min(low + 1, n - 1)
        return means[low] + (at - low) * (means[high] - means[low])

    tail = (1.0 - level) / 2.0
    return quantile(tail), quantile(1.0 - tail)


def sign_flip_p(a, b):
    """Fisher 1935 (paired randomisation test), exact, two-sided: share of the 2^n sign patterns
    (the observed one included) with |sum of signed differences| >= |observed sum|, equality up to
    1e-12 of sum|d|. Zeros are kept.
    """
    d = _differences(a, b)
    if not 1 <= len(d) <= 12:
        raise ValueError("1 to 12 documents")
    slack = 1e-12 * math.fsum(abs(v) for v in d)
    observed, count, total = abs(math.fsum(d)), 0, 0
    for signs in product((1.0, -1.0), repeat=len(d)):
        total += 1
        if abs(math.fsum(s * v for s, v in zip(signs, d, strict=True))) >= observed - slack:
            count += 1
    return count / total


def cohen_dz(a, b):
    """Cohen 1988 / Lakens 2013 eq. (6): mean(d) / sd(d), d = a - b, sd with N-1.

    NaN if N < 2 or sd = 0.
    """
    d = _differences(a, b)
    if len(d) < 2:
        return math.nan
    mean = math.fsum(d) / len(d)
    sd = math.sqrt(math.fsum((v - mean) ** 2 for v in d) / (len(d) - 1))
    return math.nan if sd == 0.0 else mean / sd


def rank_biserial_paired(a, b):
    """King & Minium 2003 / Kerby 2014: (W+ - W-) / (W+ + W-), W = rank sums of |d| (midranks for
    exact ties); zero differences are dropped before ranking (Wilcoxon 1945). NaN if nothing is
    left.
    """
    d = [v for v in _differences(a, b) if v != 0.0]
    if not d:
        return math.nan
    plus = minus = 0.0
    for v in d:
        below = sum(1 for w in d if abs(w) < abs(v))
        equal = sum(1 for w in d if abs(w) == abs(v))  # counts v itself
        rank = below + (equal + 1) / 2.0
        plus, minus = (plus + rank, minus) if v > 0 else (plus, minus + rank)
    return (plus - minus) / (plus + minus)
