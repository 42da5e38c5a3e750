"""``psc.any_of``: what it takes, what it refuses, and who takes it."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from typing import Any

import pytest

import psc
from psc.errors import UsageError
from psc.operations.anyof import alternatives_of


def test_each_key_is_written_as_on_takes_it() -> None:
    made = psc.any_of("phone", {"email": "mail"}, ["name", "zip"])
    assert alternatives_of(made) == ({"phone": "phone"}, {"email": "mail"}, {"name": "name", "zip": "zip"})
    assert isinstance(made, psc.AnyOf)
    assert made == psc.any_of({"phone": "phone"}, {"email": "mail"}, ("name", "zip"))
    assert hash(made) == hash(psc.any_of("phone", {"email": "mail"}, ["name", "zip"]))
    with pytest.raises(FrozenInstanceError):
        made.alternatives = ()  # type: ignore[misc]


def test_one_key_is_one_alternative() -> None:
    assert alternatives_of("phone") == ({"phone": "phone"},)
    assert alternatives_of(["name", "zip"]) == ({"name": "name", "zip": "zip"},)
    assert alternatives_of({"phone": "mobile"}) == ({"phone": "mobile"},)


REFUSED: dict[str, tuple[tuple[Any, ...], str]] = {
    "none": ((), "operations.any-of-count"),
    "one": (("phone",), "operations.any-of-count"),
    "five": (("a", "b", "c", "d", "e"), "operations.any-of-count"),
    "no name": (("phone", ""), "operations.any-of-key"),
    "no names": (("phone", []), "operations.any-of-key"),
    "no mapping": (("phone", {}), "operations.any-of-key"),
    "no column": (("phone", {"email": ""}), "operations.any-of-key"),
    "a number": (("phone", 7), "operations.any-of-key"),
    "alternatives in alternatives": (("phone", psc.any_of("a", "b")), "operations.any-of-key"),
    "twice": (("phone", "email", "phone"), "operations.any-of-twice"),
    "twice by two columns": (({"phone": "mobile"}, {"phone": "landline"}), "operations.any-of-twice"),
    "twice in another order": ((["a", "b"], ["b", "a"]), "operations.any-of-twice"),
    "of one label": ((["a", "b"], "a+b"), "operations.any-of-twice"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_it_refuses(name: str) -> None:
    keys, code = REFUSED[name]
    with pytest.raises(UsageError) as caught:
        psc.any_of(*keys)
    assert caught.value.code == code
    assert "{" not in str(caught.value).replace("{'phone': 'mobile'}", "")


def test_only_a_match_takes_it() -> None:
    on = psc.any_of("phone", "email")
    options: dict[str, Any] = {"on": on, "dataset": "parcels", "purpose": "p"}
    assert psc.Match("orders.csv", **options).on == on
    for make in (lambda: psc.Count("orders.csv", **options), lambda: psc.Aggregate("orders.csv", select=psc.count(), **options)):
        with pytest.raises(UsageError) as caught:
            make()
        assert caught.value.code == "operations.any-of-match-only"
