"""RFC 9497, ristretto255-SHA512 in mode 0, through the functions that psc uses, with the RFC's own labels."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from psc import _core
from psc.crypto import Items, PointBatch, Scalar, mask
from tests.vectors import ristretto_oracle as oracle

SUITES = json.loads((Path(__file__).parent / "data" / "rfc9497_allVectors.json").read_text())
SUITE = next(suite for suite in SUITES if suite["identifier"] == "ristretto255-SHA512" and suite["mode"] == 0)
DST = bytes.fromhex(SUITE["groupDST"])
KEY = Scalar.insecure_from_bytes(bytes.fromhex(SUITE["skSm"]))


def test_the_group_tag_is_the_one_of_the_rfc() -> None:
    assert b"HashToGroup-OPRFV1-" + bytes([0]) + b"-ristretto255-SHA512" == DST


@pytest.mark.parametrize("case", SUITE["vectors"], ids=lambda case: case["Input"][:8])
def test_blind_evaluate_finalize(case: dict[str, str]) -> None:
    items = Items.from_list([bytes.fromhex(case["Input"])])
    blind = Scalar.insecure_from_bytes(bytes.fromhex(case["Blind"]))
    blinded = _core.hash_to_group(items, DST, blind)
    assert blinded.hex() == case["BlindedElement"]
    evaluated = mask(PointBatch(blinded), KEY)
    assert evaluated.data.hex() == case["EvaluationElement"]
    received = _core.unmask(items, evaluated.data, blind.inverse(), b"Finalize")
    assert received.insecure_bytes().hex() == case["Output"]
    assert received == _core.evaluate_items(items, KEY, DST, b"Finalize")


@pytest.mark.parametrize("case", SUITE["vectors"], ids=lambda case: case["Input"][:8])
def test_the_oracle_agrees(case: dict[str, str]) -> None:
    message = bytes.fromhex(case["Input"])
    blind, key = (int.from_bytes(bytes.fromhex(text), "little") for text in (case["Blind"], SUITE["skSm"]))
    element = oracle.hash_to_group(message, DST)
    assert oracle.encode(oracle.multiply(element, blind)).hex() == case["BlindedElement"]
    assert oracle.finalize(message, oracle.multiply(element, key), b"Finalize").hex() == case["Output"]
