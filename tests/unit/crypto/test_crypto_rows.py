"""Sealed rows open for whoever has the item's output, and for nobody else."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from psc.crypto import Items, OprfOutputs, Rng, entry_bytes, evaluate_items, open_rows, seal_rows
from psc.errors import DecryptionError, MalformedMessageError, UsageError

CONTEXT = b"rows"
TAG = 12


def outputs(names: list[bytes]) -> OprfOutputs:
    return evaluate_items(Items.from_list(names), Rng.insecure_from_seed(b"key").scalar(), CONTEXT)


def u32(values: list[int]) -> np.ndarray:
    return np.array(values, np.uint32)


@settings(max_examples=40)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=12),
    st.integers(0, 40),
    st.integers(0, 20),
    st.integers(0, 5),
    st.randoms(use_true_random=False),
)
def test_rows_round_trip(multiplicities, width, dummies, max_rows, random) -> None:
    rng = Rng.insecure_from_seed(b"rows")
    rows = [(item, counter) for item, rows in enumerate(multiplicities) for counter in range(1, rows + 1)]
    random.shuffle(rows)
    payloads = {row: rng.bytes(width) for row in rows}
    sender = outputs([b"%d" % item for item in range(len(multiplicities))])
    sealed = seal_rows(
        sender,
        u32([item for item, _ in rows]),
        u32([counter for _, counter in rows]),
        b"".join(payloads[row] for row in rows),
        width,
        TAG,
        CONTEXT,
        rng,
        len(rows) + dummies,
    )
    size = entry_bytes(width, TAG)
    entries = [sealed[at : at + size] for at in range(0, len(sealed), size)]
    assert len(entries) == len(rows) + dummies
    assert [entry[:TAG] for entry in entries] == sorted(entry[:TAG] for entry in entries)

    names = list(range(2, len(multiplicities) + 3))  # the receiver lacks items 0 and 1, and has three that the sender lacks
    receiver = outputs([b"%d" % item for item in names])
    tried = list(range(len(names)))
    random.shuffle(tried)
    items, counters, plain = open_rows(receiver, u32(tried), sealed, width, TAG, max_rows, CONTEXT)
    expected = [
        (index, counter)
        for index in tried
        if names[index] < len(multiplicities)
        for counter in range(1, min(multiplicities[names[index]], max_rows) + 1)
    ]
    assert list(zip(items.tolist(), counters.tolist())) == expected
    assert plain == b"".join(payloads[(names[index], counter)] for index, counter in expected)


@given(st.data())
def test_a_changed_byte_never_gives_a_wrong_row(data: st.DataObject) -> None:
    own = outputs([b"a", b"b"])
    sealed = seal_rows(own, u32([0, 1, 1]), u32([1, 1, 2]), b"onetwosix", 3, TAG, CONTEXT, Rng.insecure_from_seed(b"d"), 6)
    size = entry_bytes(3, TAG)
    at = data.draw(st.integers(0, len(sealed) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = sealed[:at] + bytes([sealed[at] ^ flip]) + sealed[at + 1 :]
    if at % size < TAG:
        tags = [changed[start : start + TAG] for start in range(0, len(changed), size)]
        if tags != sorted(tags):
            with pytest.raises(MalformedMessageError) as unsorted:
                open_rows(own, u32([0, 1]), changed, 3, TAG, 8, CONTEXT)
            assert unsorted.value.code == "crypto.not-sorted"
            return
    try:
        items, counters, plain = open_rows(own, u32([0, 1]), changed, 3, TAG, 8, CONTEXT)
    except DecryptionError as error:
        failed: DecryptionError | None = error
    else:
        failed = None
    if failed is not None:
        assert failed.code == "crypto.row-does-not-open"
        assert failed.fields == {"index": at // size}
        assert at % size >= TAG
        return
    right = {(0, 1): b"one", (1, 1): b"two", (1, 2): b"six"}
    for index, row in enumerate(zip(items.tolist(), counters.tolist())):
        assert plain[3 * index : 3 * index + 3] == right[row]


def test_a_tag_under_another_key_does_not_open() -> None:
    own = outputs([b"a"])
    sealed = seal_rows(own, u32([0]), u32([1]), b"one", 3, TAG, CONTEXT, Rng.system(), 1)
    with pytest.raises(DecryptionError):
        open_rows(own, u32([0]), sealed[:TAG] + bytes(19), 3, TAG, 8, CONTEXT)
    assert open_rows(own, u32([0]), sealed, 3, TAG, 8, b"other")[2] == b""


@pytest.mark.parametrize(
    ("groups", "counters", "payloads", "total", "code"),
    [
        ([0, 0], [1, 1], b"onetwo", 2, "crypto.row-counters"),
        ([0, 0], [1, 3], b"onetwo", 2, "crypto.row-counters"),
        ([0], [0], b"one", 1, "crypto.row-counters"),
        ([9], [1], b"one", 1, "crypto.no-such-position"),
        ([0], [1, 2], b"one", 1, "crypto.count-mismatch"),
        ([0], [1], b"four", 1, "crypto.count-mismatch"),
        ([0], [1], b"one", 0, "crypto.out-of-range"),
    ],
)
def test_wrong_rows_are_refused(groups, counters, payloads, total, code) -> None:
    with pytest.raises(UsageError) as caught:
        seal_rows(outputs([b"a"]), u32(groups), u32(counters), payloads, 3, TAG, CONTEXT, Rng.system(), total)
    assert caught.value.code == code


def test_sizes_and_types_are_checked() -> None:
    own, rng = outputs([b"a"]), Rng.system()
    with pytest.raises(UsageError) as caught:
        seal_rows(own, np.array([0]), u32([1]), b"one", 3, TAG, CONTEXT, rng, 1)
    assert caught.value.code == "crypto.wrong-type"
    with pytest.raises(UsageError) as caught:
        seal_rows(own, u32([]), u32([]), b"", 2**20, TAG, CONTEXT, rng, 2**32 - 2)
    assert caught.value.code == "crypto.out-of-memory"
    for width, tag_bytes in [(2**20 + 1, 8), (3, 0), (3, 33)]:
        with pytest.raises(UsageError):
            seal_rows(own, u32([]), u32([]), b"", width, tag_bytes, CONTEXT, rng, 0)
    with pytest.raises(MalformedMessageError):
        open_rows(own, u32([0]), bytes(30), 3, TAG, 8, CONTEXT)
    with pytest.raises(UsageError):
        open_rows(own, u32([1]), b"", 3, TAG, 8, CONTEXT)
    assert open_rows(own, u32([]), b"", 3, TAG, 8, CONTEXT)[2] == b""
