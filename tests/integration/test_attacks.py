"""Attacks that the leakage statements admit: each is carried out and succeeds, so the statements are not mere words."""

from __future__ import annotations

import numpy as np

from psc.crypto import Items, PointBatch, Rng, hash_and_mask, mask, point_tags
from psc.protocols import dh_psi_count
from psc.protocols.base import Script, recv, send
from psc.protocols.dh_psi import BlindedItems
from psc.protocols.dh_psi_count import MaskedItems, Params, ReturnedTags
from psc.protocols.padding import padded_size
from psc.session.drive import run_pair
from tests.protocol_cases import CONTEXT, sets


def cheating_receiver(items: list[bytes], params: Params, rng: Rng) -> Script[list[int]]:
    """Mask each item with a scalar of its own, then try every returned tag with every scalar: membership, item by item."""
    masks = [rng.scalar() for _ in items]
    points = [hash_and_mask(Items.from_list([item]), params.context, b) for item, b in zip(items, masks)]
    dummies = PointBatch.random(rng, params.receiver_size - len(items))
    yield from send(BlindedItems(PointBatch.concat([*points, dummies])))
    theirs = (yield from recv(MaskedItems)).points
    returned = (yield from recv(ReturnedTags)).tags
    width = params.tag_bytes
    tags = {returned[i : i + width] for i in range(0, len(returned), width)}
    members = []
    for index, b in enumerate(masks):
        doubly = point_tags(mask(theirs, b), params.context, width)
        if any(doubly[i : i + width] in tags for i in range(0, len(doubly), width)):
            members.append(index)
    return members


def test_a_receiver_that_masks_each_item_differently_learns_membership_from_count() -> None:
    receiver, sender = sets(20, 60, 7)
    params = Params(CONTEXT, padded_size(20), padded_size(60))
    members, _ = run_pair(
        cheating_receiver(receiver, params, Rng.system()),
        dh_psi_count.sender(Items.from_list(sender), params, Rng.system()),
    )
    assert members == [i for i, item in enumerate(receiver) if item in set(sender)]
    assert len(members) == 7
    assert "leakage.count.cheating" in dh_psi_count.SPEC.leakage_receiver  # and the statement says so


def test_repeated_counts_reveal_membership_when_no_quota_stops_them() -> None:
    """Differencing: the count with and without one item tells that item. Only the quota of runs bounds this."""
    receiver, sender = sets(12, 40, 5)

    def ask(items: list[bytes]) -> int:
        params = Params(CONTEXT, 64, 64)
        got, _ = run_pair(
            dh_psi_count.receiver(Items.from_list(items), params, Rng.system()),
            dh_psi_count.sender(Items.from_list(sender), params, Rng.system()),
        )
        assert got.common is not None
        return got.common

    whole = ask(receiver)
    inferred = [ask(receiver[:i] + receiver[i + 1 :]) < whole for i in range(len(receiver))]
    assert inferred == [item in set(sender) for item in receiver]
    assert np.sum(inferred) == 5
