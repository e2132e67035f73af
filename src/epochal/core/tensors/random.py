"""Random numbers as a function: every number is ``f(seed, stream, step, index)``, never a state.

A *key* is a 64-bit integer tensor made from seed, stream name and step; a number is a hash of key and
index. Nothing is advanced, so training can resume from a step number alone, drawing for a probe
cannot disturb training, and a member draws the same numbers whatever else is in its pack. All functions
are pure and elementwise over keys, hence the same under ``vmap``. The numbers do not depend on the
floating dtype asked for, beyond rounding.

Source: the finaliser of SplitMix64 (Steele, Lea & Flood 2014, "Fast splittable pseudorandom number
generators", section 5) over a Weyl sequence, used as a counter-based generator in the sense of Salmon
et al. 2011 ("Parallel random numbers: as easy as 1, 2, 3").
"""

import hashlib
import math
from collections.abc import Sequence
from functools import cache

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor

from epochal.core.tensors.constant import constant
from epochal.core.tensors.precision import wide

Key = Int64[Tensor, "*keys"]
"""Randomness of one stream at one step; any shape, usually a scalar or ``[M]``."""

Shape = tuple[int, ...]


def key(seed: int | Int64[Tensor, "*keys"], stream: str, step: int | Int64[Tensor, "*keys"] = 0) -> Key:
    """The key of a named stream of a seed at a step."""
    seed = torch.as_tensor(seed, dtype=torch.int64)
    named = _mix(_mix(seed + _GOLDEN) ^ _name_bits(stream))
    return fold(named, step)


def fold(key: Key, value: int | str | Int64[Tensor, "*keys"]) -> Key:
    """Another key, which depends on ``key`` and on ``value`` (a number, a name, or a tensor of numbers)."""
    value = _name_bits(value) if isinstance(value, str) else value
    step = _signed(value * _GOLDEN) if isinstance(value, int) else value * _GOLDEN
    return _mix(_mix(key + step) + _GOLDEN)


def streams(key: Key, names: Sequence[str]) -> Int64[Tensor, "*keys S"]:
    """``fold(key, name)`` for each of the names, at once."""
    values = _named(tuple(names), key.device)
    each = key[..., None].expand(*key.shape, len(names))
    return fold(each, values.expand_as(each))


def bits(key: Key, index: Shape | Int64[Tensor, "*shape"]) -> Int64[Tensor, "..."]:
    """64 random bits per index; ``index`` is a shape (counted from zero in row-major order) or a tensor.

    A tensor of indices broadcasts against the key.
    """
    if isinstance(index, tuple):
        return _mix(key + _offsets(math.prod(index), key.device).reshape(index))
    return _mix(key + (index + 1) * _GOLDEN)


def uniform(
    key: Key, index: Shape | Int64[Tensor, "*shape"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "..."]:
    """Uniform on the open interval (0, 1), symmetric about one half; 23 bits in float32, 52 in float64."""
    kept = 23 if dtype == torch.float32 else 52
    whole = _shift(bits(key, index), 64 - kept)
    return (whole.to(dtype) + 0.5) * 2.0**-kept


def normal(
    key: Key, index: Shape | Int64[Tensor, "*shape"], dtype: torch.dtype = torch.float32
) -> Float[Tensor, "..."]:
    """Standard normal by Box and Muller's transform of 2 x 32 bits, computed in float64; |z| < 6.8."""
    word = bits(key, index)
    exact = wide(word.device)
    radius = (_shift(word, 32).to(exact) + 0.5) * 2.0**-32
    angle = (word & 0xFFFFFFFF).to(exact) * (2.0**-32 * 2.0 * math.pi)
    return (torch.sqrt(-2.0 * torch.log(radius)) * torch.cos(angle)).to(dtype)


def bernoulli(
    key: Key, index: Shape | Int64[Tensor, "*shape"], probability: float | Float[Tensor, "..."]
) -> torch.Tensor:
    """True with the given probability (0 and 1 are exact)."""
    if isinstance(probability, float) and 0 < probability < 1 and wide(key.device) == torch.float64:
        # (u + 1/2) / 2^52 < p for u = the upper 52 bits, in whole numbers: a third of the passes. Adding 2^63
        # makes signed comparison that of the unsigned words.
        largest = ((math.ceil(probability * 2.0**52 - 0.5) - 1) << 12) + 0xFFF
        return (bits(key, index) ^ _LOWEST) <= largest - 2**63
    return uniform(key, index, wide(key.device)) < probability


def mask(key: Int64[Tensor, ""], shape: Shape, probability: float) -> Int32[Tensor, "..."]:
    """1 with the given probability to 2^-32, else 0, independently at each place: two per hashed word.

    Takes a third of the time of :func:`bernoulli`, whose decisions are known by their index one by one, and
    whose truth values take four times as long to find and to make to floats as whole numbers do.
    """
    count = math.prod(shape)
    limit = round(probability * 2.0**32) - 2**31  # of the signed halves below which it is 1
    if limit in (-(2**31), 2**31):
        return torch.full(shape, int(limit > 0), dtype=torch.int32, device=key.device)
    halves = bits(key, ((count + 1) // 2,)).view(torch.int32)
    return (limit - halves[:count].clamp(limit - 1, limit)).reshape(shape)


def permutation(key: Key, size: int) -> Int64[Tensor, "*keys size"]:
    """A uniformly random order of ``0 .. size-1`` for each key, by sorting random words."""
    words = bits(key[..., None], torch.arange(size, device=key.device))
    return torch.sort(words, dim=-1, stable=True).indices


def _signed(value: int) -> int:
    """The 64-bit two's complement number that is congruent to ``value``."""
    return (value + 2**63) % 2**64 - 2**63


def _offsets(count: int, device: torch.device) -> Int64[Tensor, " N"]:
    """``(index + 1) G`` of the indices from 0; what masks need at every update is kept."""
    return _kept_offsets(count, device) if count <= MOST_KEPT else _new_offsets(count, device)


def _new_offsets(count: int, device: torch.device) -> Int64[Tensor, " N"]:
    return torch.arange(1, count + 1, device=device).mul_(_GOLDEN)


_kept_offsets = constant(maxsize=8)(_new_offsets)


@constant(maxsize=32)
def _named(names: tuple[str, ...], device: torch.device) -> Int64[Tensor, " S"]:
    """Filled on the device: a copy from the host would wait for it."""
    values = [torch.full((1,), _name_bits(name), dtype=torch.int64, device=device) for name in names]
    return torch.cat(values) if values else torch.empty(0, dtype=torch.int64, device=device)


MOST_KEPT = 2**20
_LOWEST = -(2**63)
_GOLDEN = _signed(0x9E3779B97F4A7C15)
_FIRST = _signed(0xBF58476D1CE4E5B9)
_SECOND = _signed(0x94D049BB133111EB)


def _shift(word: Int64[Tensor, "..."], by: int) -> Int64[Tensor, "..."]:
    """Logical right shift; torch's own keeps the sign."""
    return (word >> by).bitwise_and_((1 << (64 - by)) - 1)


def _mix(word: Int64[Tensor, "..."]) -> Int64[Tensor, "..."]:
    # In place after the first step: fresh memory for each would double the time of a large mask.
    word = (word ^ _shift(word, 30)).mul_(_FIRST)
    word.bitwise_xor_(_shift(word, 27)).mul_(_SECOND)
    return word.bitwise_xor_(_shift(word, 31))


@torch.compiler.assume_constant_result  # type: ignore[untyped-decorator]  # a hash of text cannot be traced
def _name_bits(name: str) -> int:
    return _hashed(name)


@cache
def _hashed(name: str) -> int:
    return _signed(int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little"))
