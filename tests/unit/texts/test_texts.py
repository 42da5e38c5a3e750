"""Every text exists in both languages with the same fields, and every code that the code raises has a text."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest

import psc
from psc.errors import AbortCode, PscError, Rule
from psc.texts import all_texts, fill, render

SOURCE = Path(psc.__file__).parent
RAISED = re.compile(r"(?:Error|refuse|_error)\(\s*\"([a-z]+\.[a-z0-9-]+)\"")


def fields_of(text: str) -> set[str]:
    return {name.split(".")[0].split("[")[0] for _, name, _, _ in string.Formatter().parse(text) if name}


def test_both_languages_use_the_same_fields() -> None:
    for code, text in all_texts().items():
        assert fields_of(text.en + text.fix_en) == fields_of(text.zh + text.fix_zh), code
        assert text.en, code
        words = re.sub(r"\{[^}]*\}", "", text.zh)
        assert re.search("[\u4e00-\u9fff]", words) or not re.search("[A-Za-z]{4}", words), code


def test_every_raised_code_has_a_text() -> None:
    used = {m for file in SOURCE.rglob("*.py") for m in RAISED.findall(file.read_text(encoding="utf-8"))}
    assert len(used) > 50
    assert used <= set(all_texts()), sorted(used - set(all_texts()))


def test_every_rule_and_abort_code_has_a_text() -> None:
    codes = set(all_texts())
    assert {f"policy.denied-{rule}" for rule in Rule} <= codes
    assert {f"transport.aborted-{code}" for code in AbortCode} <= codes


def test_language_follows_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    error = PscError("session.deadlock")
    monkeypatch.setenv("PSC_LANG", "zh")
    assert "脚本" in str(error)
    monkeypatch.setenv("PSC_LANG", "en")
    assert "scripts" in str(error)
    assert render("session.deadlock", lang="zh") != render("session.deadlock", lang="en")


def test_fields_have_three_forms_of_their_own() -> None:
    assert fill("known: {known:|none yet}", {"known": ""}) == "known: none yet"
    assert fill("known: {known:|none yet}", {"known": "a, b"}) == "known: a, b"
    counted = "{count} {count:?key|keys}"
    assert [fill(counted, {"count": n}) for n in (0, 1, "1", 2, "1,000")] == ["0 keys", "1 key", "1 key", "2 keys", "1,000 keys"]
    role = "{side:=initiator 发起方|responder 应答方}"
    assert [fill(role, {"side": side}) for side in ("initiator", "responder", "other")] == ["发起方", "应答方", "other"]
    for form in ("{x:|none}", "{x:=a b}"):
        assert "\x1b" not in fill(form, {"x": "\x1b[2J"})


def test_chinese_texts_use_one_word_for_each_thing() -> None:
    for code, text in all_texts().items():
        said = text.zh + text.fix_zh
        assert not re.search("(?<!授权)(?<!密码)协议", said), code
        for word in ("来电者", "共有键", "发布", "目的"):
            assert word not in said, code
        assert not re.search("[\u4e00-\u9fff][,;!?]|[,;!?][\u4e00-\u9fff]", said), code  # full-width punctuation
        for role in ("side", "output_to", "model"):
            assert not re.search(rf"{{{role}}}", said), code
