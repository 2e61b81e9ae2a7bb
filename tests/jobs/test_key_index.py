"""The index of a ledger against a dictionary, and how much of memory it takes."""

import hashlib
import random
import tracemalloc

import pytest

from sightline.jobs import key_index
from sightline.jobs.key_index import KeyIndex, compact


def _key(number: int) -> bytes:
    return hashlib.blake2b(b"%d" % number, digest_size=16).digest()


def test_it_answers_as_a_dictionary_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_index, "_RECENT", 7)
    index, known, rng = KeyIndex(), {}, random.Random(0)
    near = [_key(0)[:8] + bytes([k] * 8) for k in range(3)]  # equal in their first half
    keys = [*map(_key, range(40)), *near, b"\xff" * 16, b"\0" * 16]
    for place in range(400):
        key = rng.choice(keys)
        index.add(key, place << 40)
        known.setdefault(key, []).append(place << 40)
        assert len(index) == len(known)
    for key in [*keys, _key(99)]:
        assert list(index.get(key)) == known.get(key, [])
        assert (key in index) == (key in known)


def test_a_key_takes_24_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_index, "_RECENT", 1000)
    index, sizes = KeyIndex(), []
    tracemalloc.start()
    try:
        for number in range(40_001):
            index.add(_key(number), number)
            if number in (20_000, 40_000):
                sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert (sizes[1] - sizes[0]) / 20_000 < 26  # 138 in a dictionary


@pytest.mark.parametrize(
    ("one", "other"),
    [("ab" * 16, "AB" * 16), ("ab", "ab "), ("place-1", "place-2"), (" " * 32, "ab" * 15)],
)
def test_different_keys_stay_different(one: str, other: str) -> None:
    assert len({compact(one), compact(other)}) == 2
    assert all(len(compact(key)) == 16 for key in (one, other))


def test_a_key_of_hexadecimal_digits_is_what_they_spell() -> None:
    assert compact("0f" * 16) == bytes([15] * 16) == compact(bytes([15] * 16))
