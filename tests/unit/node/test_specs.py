import pytest

from psc.data.keys import KeyUse
from psc.errors import UsageError
from psc.node.specs import RESERVED_NAMES, parse_key, parse_release
from psc.operations.results import ROWS_CUT, SOURCE_ROW
from psc.types import ReleasedColumn
from tests.homes import code_of
from tests.hostile_text import HIDDEN, assert_harmless


@pytest.mark.parametrize(
    ("spec", "use"),
    [
        ("phone=mobile:phone", KeyUse("phone", "mobile", "phone")),
        ("phone:phone", KeyUse("phone", "phone", "phone")),
        ("phone=收件人手机:phone", KeyUse("phone", "收件人手机", "phone")),
        ("mail=a:b=c:email", KeyUse("mail", "a:b=c", "email")),
        ("id=No 1:idcard", KeyUse("id", "No 1", "idcard")),
    ],
)
def test_keys(spec: str, use: KeyUse) -> None:
    assert parse_key(spec) == use


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("phone", "node.spec-wrong"),
        ("phone=mobile", "node.spec-wrong"),
        ("", "node.spec-wrong"),
        (":phone", "node.spec-wrong"),
        ("=mobile:phone", "node.spec-wrong"),
        ("phone=:phone", "node.spec-wrong"),
        (" phone=m:phone", "node.spec-wrong"),
        ("p" * 65 + ":phone", "node.spec-wrong"),
        ("phone=mobile:tel", "node.spec-kind"),
        ("phone=mobile:", "node.spec-kind"),
    ],
)
def test_wrong_keys(spec: str, code: str) -> None:
    assert code_of(UsageError, lambda: parse_key(spec)).code == code


@pytest.mark.parametrize(
    ("spec", "name", "kind", "width", "column"),
    [
        ("status:text:16", "status", "text", 16, "status"),
        ("status=运单状态:text:1024", "status", "text", 1024, "运单状态"),
        ("fee:int64", "fee", "int64", 8, "fee"),
        ("weight=w:float64", "weight", "float64", 8, "w"),
        ("done:bool", "done", "bool", 1, "done"),
        ("day=a:b:date", "day", "date", 4, "a:b"),
        ("x=text:text:3", "x", "text", 3, "text"),
    ],
)
def test_releases(spec: str, name: str, kind: str, width: int, column: str) -> None:
    expected = ReleasedColumn.model_validate({"name": name, "type": kind, "width_bytes": width})
    assert parse_release(spec) == (expected, column)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("status", "node.spec-wrong"),
        ("", "node.spec-wrong"),
        ("status:text", "node.spec-width"),
        ("status:text:", "node.spec-width"),
        ("status:text:0", "node.spec-width"),
        ("status:text:1025", "node.spec-width"),
        ("status:text:-1", "node.spec-width"),
        ("status:text:１６", "node.spec-width"),
        ("fee:decimal", "node.spec-type"),
        ("fee:int64:8", "node.spec-type"),
        (":text:16", "node.spec-wrong"),
    ],
)
def test_wrong_releases(spec: str, code: str) -> None:
    assert code_of(UsageError, lambda: parse_release(spec)).code == code


@pytest.mark.parametrize("hidden", HIDDEN.values(), ids=HIDDEN)
def test_names_and_columns_hold_nothing_hidden(hidden: str) -> None:
    bad = f"x{hidden}y"
    for name, column in ((bad, "c"), ("n", bad)):
        for act in (
            lambda head=f"{name}={column}": parse_key(f"{head}:phone"),
            lambda head=f"{name}={column}": parse_release(f"{head}:text:8"),
        ):
            error = code_of(UsageError, act)
            assert error.code == "node.spec-not-plain"
            assert_harmless(str(error))


@pytest.mark.parametrize("name", [ROWS_CUT, SOURCE_ROW])
def test_names_of_our_own_columns_are_reserved(name: str) -> None:
    for spec in (f"{name}:text:8", f"{name}=status:int64"):
        assert code_of(UsageError, lambda spec=spec: parse_release(spec)).code == "node.spec-reserved"
    assert parse_release(f"row={name}:int64")[1] == name
    assert {ROWS_CUT, SOURCE_ROW} == RESERVED_NAMES


def test_long_columns() -> None:
    assert parse_release("x=" + "c" * 1024 + ":int64")[1] == "c" * 1024
    assert code_of(UsageError, lambda: parse_release("x=" + "c" * 1025 + ":int64")).code == "node.spec-wrong"
