"""Statistics: exact tails, bounds and tests, from formulas that can be looked up. Pure arithmetic, standard library only.

Names and meanings are those of the literature; every function says where its formula is from. Shares and probabilities are from 0 to 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

_SMALL = 1e-17
"""A term this much smaller than the sum no longer changes it."""

_NORMAL = NormalDist()


class Interval(NamedTuple):
    """An estimate between two bounds."""

    low: float
    estimate: float
    high: float


def binomial_tail(k: int, n: int, p: float) -> float:
    """P(X ≥ k) for X ~ Binomial(n, p): exact, by summing the mass from its largest term on, which is taken in logarithms."""
    if k <= 0:
        return 1.0
    if k > n or p <= 0.0:
        return 0.0
    if p >= 1.0:
        return 1.0
    if k > n * p:
        return min(1.0, math.exp(_log_binomial(k, n, p)) * _upwards(k, n, p))
    # Below the mean the other side is the shorter sum, and the one that loses no digits.
    return max(0.0, 1.0 - math.exp(_log_binomial(k - 1, n, p)) * _upwards(n - k + 1, n, 1.0 - p))


def _log_binomial(k: int, n: int, p: float) -> float:
    ways = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return ways + k * math.log(p) + (n - k) * math.log1p(-p)


def _upwards(k: int, n: int, p: float) -> float:
    """The sum of mass(i) / mass(k) over i = k … n."""
    odds = p / (1.0 - p)
    term = total = 1.0
    for i in range(k, n):
        term *= (n - i) / (i + 1) * odds
        total += term
        if term < total * _SMALL:
            break
    return total


def poisson_tail(k: int, mean: float) -> float:
    """P(X ≥ k) for X ~ Poisson(mean), exact, as `binomial_tail` does it."""
    if k <= 0:
        return 1.0
    if mean <= 0.0:
        return 0.0
    term = total = 1.0
    if k > mean:
        i = k
        while term >= total * _SMALL:
            i += 1
            term *= mean / i
            total += term
        return min(1.0, math.exp(k * math.log(mean) - mean - math.lgamma(k + 1)) * total)
    for i in range(k - 1, 0, -1):
        term *= i / mean
        total += term
        if term < total * _SMALL:
            break
    return max(0.0, 1.0 - math.exp((k - 1) * math.log(mean) - mean - math.lgamma(k)) * total)


def normal_quantile(p: float) -> float:
    """The z with P(Z ≤ z) = p for a standard normal Z; 0 < p < 1 (Wichura's AS 241, in the standard library)."""
    return _NORMAL.inv_cdf(p)


def wilson(k: int, n: int, confidence: float = 0.95) -> Interval:
    """Wilson's score interval for a share of which k of n were seen, two-sided (Wilson, JASA 22, 1927). Of nothing it is all of 0 to 1."""
    if n <= 0:
        return Interval(0.0, math.nan, 1.0)
    z = normal_quantile(0.5 + confidence / 2)
    share = k / n
    middle = share + z * z / (2 * n)
    half = z * math.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    scale = 1 + z * z / n
    # At the ends rounding may leave a share of 1e-18 where the bound is exactly 0 or 1.
    low = 0.0 if k <= 0 else max(0.0, (middle - half) / scale)
    high = 1.0 if k >= n else min(1.0, (middle + half) / scale)
    return Interval(low, share, high)


def always_valid_multiplier(n: float, alpha: float = 0.05, tuned: float = 5000.0, one_sided: bool = False) -> float:
    """By how many standard errors an estimate from n observations may be off, at *every* n at once, with probability 1 - alpha.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy and Ramdas, "Time-uniform central limit theory and asymptotic
    confidence sequences" (Annals of Statistics 52, 2024), narrowest about n = `tuned`. One may look after each observation.
    """
    level = 2 * alpha if one_sided else alpha
    rho_squared = (-2 * math.log(level) + math.log(1 - 2 * math.log(level))) / tuned
    grown = n * rho_squared + 1
    logarithm = math.log1p(math.sqrt(grown) / (2 * alpha)) if one_sided else math.log(math.sqrt(grown) / alpha)
    return math.sqrt(2 * grown / (n * rho_squared) * logarithm)


def always_valid_difference(
    k: int, n: int, other_k: int, other_n: int, alpha: float = 0.05, tuned: float = 5000.0, one_sided: bool = False
) -> Interval:
    """The difference of two shares, k of n less `other_k` of `other_n`, with bounds that hold at every look.

    One success and one failure are added to each arm (Agresti and Caffo, The American Statistician 54, 2000): with no failures the plain
    standard error is 0, and an interval without width lets everything pass. With `one_sided` each bound holds for itself.
    """
    if n <= 0 or other_n <= 0:
        return Interval(-1.0, math.nan, 1.0)
    share, other = (k + 1) / (n + 2), (other_k + 1) / (other_n + 2)
    error = math.sqrt(share * (1 - share) / (n + 2) + other * (1 - other) / (other_n + 2))
    half = error * always_valid_multiplier(n + other_n, alpha, tuned, one_sided)
    return Interval(max(-1.0, share - other - half), k / n - other_k / other_n, min(1.0, share - other + half))


def martingale(k: int, n: int, share: float, expected: float, strength: float = 10.0) -> float:
    """The logarithm of how much likelier k of n are under a beta distribution of shares about `expected` than under `share` itself.

    Should `share` be the true one, it exceeds log(1/alpha) at any look at all with a probability of at most alpha: exactly, however rare
    what is counted is (Robbins, "Statistical methods related to the law of the iterated logarithm", Annals of Mathematical Statistics 41,
    1970). The beta distribution weighs as much as `strength` of what is rarer, seen beforehand; it tells most after about eight times that.
    """
    weight = strength / min(expected, 1.0 - expected)
    a, b = weight * expected, weight * (1.0 - expected)
    averaged = _log_beta(a + k, b + n - k) - _log_beta(a, b)
    if (k and share <= 0.0) or (n > k and share >= 1.0):
        return math.inf
    return averaged - (k * math.log(share) if k else 0.0) - ((n - k) * math.log1p(-share) if n > k else 0.0)


def _log_beta(a: float, b: float) -> float:
    return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)


def chi_squared_tail(x: float, df: float) -> float:
    """P(X ≥ x) for X ~ χ² with `df` degrees of freedom: the regularised upper incomplete gamma function Q(df/2, x/2).

    Series below a + 1, Lentz's continued fraction above it (Press et al., Numerical Recipes, 3rd ed., §6.2).
    """
    if x <= 0:
        return 1.0
    a, z = df / 2, x / 2
    front = a * math.log(z) - z - math.lgamma(a)
    if z < a + 1:
        term = total = 1 / a
        step = a
        while term > total * _SMALL:
            step += 1
            term *= z / step
            total += term
        return max(0.0, 1.0 - total * math.exp(front))
    tiny = 1e-300
    b = z + 1 - a
    c = 1 / tiny
    d = 1 / b
    fraction = d
    for i in range(1, 10_000):
        factor = -i * (i - a)
        b += 2
        d = 1 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        change = d * c
        fraction *= change
        if abs(change - 1) < 1e-15:
            break
    return math.exp(front) * fraction


def ratio_mismatch(counts: Sequence[int], shares: Sequence[float]) -> float | None:
    """The p-value that counts came of these shares: Pearson's χ², df = arms - 1. None where an arm expects fewer than 8: too few to tell.

    A count where the share is 0 can't be chance: 0.0.
    """
    n, total = sum(counts), sum(shares)
    if total <= 0:
        return None
    expected = [n * share / total for share in shares]
    if any(want == 0 and count for count, want in zip(counts, expected, strict=True)):
        return 0.0
    arms = [(count, want) for count, want in zip(counts, expected, strict=True) if want > 0]
    if len(arms) < 2 or any(want < _LEAST_EXPECTED for _, want in arms):
        return None
    return chi_squared_tail(sum((count - want) ** 2 / want for count, want in arms), len(arms) - 1)


_LEAST_EXPECTED = 8
"""Below so many expected in an arm the χ² distribution is no good approximation."""


def holm(p_values: Sequence[float]) -> list[float]:
    """The p-values adjusted for their number (Holm, Scandinavian Journal of Statistics 6, 1979): each is compared with one level."""
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for place, i in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - place) * p_values[i]))
        adjusted[i] = highest
    return adjusted


class Psi(NamedTuple):
    """A population stability index. `excess` is what is left of `raw` when what chance alone makes of so few is taken off."""

    raw: float
    chance: float
    excess: float


def psi(now: Sequence[int], then: Sequence[int]) -> Psi | None:
    """Population stability index of two histograms over the same bins, Σ (pᵢ - qᵢ) ln(pᵢ / qᵢ), corrected for their size.

    Without any change n·m/(n+m) · PSI is about χ² with bins - 1 degrees of freedom, so that its expectation is (bins - 1)(1/n + 1/m)
    (Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of Risk Model Validation 14, 2020): that is
    taken off. Half a count is added to each bin, for an empty one has no logarithm; a bin that is empty in both is none. None when
    either is empty.
    """
    bins = [(a, b) for a, b in zip(now, then, strict=True) if a or b]
    n, m = sum(a for a, _ in bins), sum(b for _, b in bins)
    if not n or not m:
        return None
    raw = 0.0
    for a, b in bins:
        p, q = (a + 0.5) / (n + 0.5 * len(bins)), (b + 0.5) / (m + 0.5 * len(bins))
        raw += (p - q) * math.log(p / q)
    chance = (len(bins) - 1) * (1 / n + 1 / m)
    return Psi(raw, chance, max(0.0, raw - chance))
