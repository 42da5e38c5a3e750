"""Whatever a field holds, a text shows it on one line, with nothing hidden."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from psc.errors import PscError, UsageError
from psc.texts import Lines, fill, is_plain, json_escaped, render, visible
from tests.hostile_text import EVIL, HIDDEN, assert_harmless

ANY = st.text(alphabet=st.characters())


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain 收件人 “x” \u3000 é 😀", "plain 收件人 “x” \u3000 é 😀"),
        ("\x1b[31m", r"\x1b[31m"),
        ("\x07\x7f\x9b", r"\x07\x7f\x9b"),
        ("a\nb\tc\r", r"a\nb\tc\r"),
        ("\u202e\u2028", r"\u202e\u2028"),
        ("\U000e0041", r"\U000e0041"),
        ("\ud800", r"\ud800"),
        (r"\x1b", r"\x1b"),
    ],
)
def test_escapes(text: str, shown: str) -> None:
    assert visible(text) == shown
    assert visible(shown) == shown


@pytest.mark.parametrize("name", HIDDEN)
def test_what_is_not_plain(name: str) -> None:
    assert not is_plain(f"a{HIDDEN[name]}b")
    assert is_plain(visible(HIDDEN[name]))


@given(ANY)
def test_every_text_becomes_plain_and_plain_ones_stay(text: str) -> None:
    assert is_plain(visible(text))
    assert is_plain(text) == (visible(text) == text)


@given(st.recursive(ANY, lambda inner: st.lists(inner) | st.dictionaries(ANY, inner), max_leaves=8))
def test_json_means_the_same_and_hides_nothing(document: object) -> None:
    shown = json_escaped(json.dumps(document, ensure_ascii=False, indent=2))
    assert json.loads(shown) == document or "\\ud" in shown  # two halves of a character become one
    assert all(map(is_plain, shown.split("\n")))


def test_fields_are_made_visible_and_texts_are_not() -> None:
    assert fill("{a}\n{b!r} {c:,}", {"a": "x\ny", "b": "\x1b", "c": 1234}) == "x\\ny\n'\\x1b' 1,234"
    assert fill("{table}", {"table": Lines.of(["a\nb", "c"])}) == "a\\nb\nc"
    with pytest.raises(KeyError):
        fill("{missing}", {})


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_errors_show_hostile_fields_harmlessly(lang: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PSC_LANG", lang)
    error = UsageError("policy.agreement-malformed", file=EVIL, where=EVIL)
    assert_harmless(str(error))
    assert "\n" not in str(error)
    assert error.fields["where"] == EVIL  # for programs
    table = PscError("data.bad-keys", file="f", count=1, total=1, columns="c", table=Lines.of(["a", "b"]))
    assert "a\nb" in str(copy.copy(table))
    plan = render("operations.plan-head", {"operation": "match", "partner": EVIL, "dataset": EVIL, "purpose": EVIL})
    assert_harmless(plan)
