import pytest

from psc.data.groups import GroupUse
from psc.data.keys import KeyUse
from psc.data.values import ValueUse
from psc.errors import UsageError
from psc.node.specs import RESERVED_NAMES, parse_group, parse_key, parse_noise, parse_release, parse_value
from psc.operations.results import ROWS_CUT, SOURCE_ROW
from psc.types import Noise, ReleasedColumn, ValueColumn
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
            lambda head=f"{name}={column}": parse_value(f"{head}:int64:0..9"),
            lambda head=f"{name}={column}": parse_group(head),
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


@pytest.mark.parametrize(
    ("spec", "column", "scale", "low", "high", "whole", "clip"),
    [
        ("fee:int64:0..100000", "fee", 0, 0, 100_000, True, False),
        ("fee=运费:int64:-5..-5:clip", "运费", 0, -5, -5, True, True),
        ("fee=a:b:int64:0..1", "a:b", 0, 0, 1, True, False),
        ("fee:decimal:2:0..999.99", "fee", 2, 0, 99_999, False, False),
        ("fee=a=b:c:decimal:9:-0.5..0.000000001:clip", "a=b:c", 9, -500_000_000, 1, False, True),
        ("fee:decimal:0:-0..7", "fee", 0, 0, 7, False, False),
        ("fee:decimal:1:1.50..2.000", "fee", 1, 15, 20, False, False),
        ("fee=int64:decimal:1:0..1", "int64", 1, 0, 10, False, False),
        ("fee=clip:int64:0..1", "clip", 0, 0, 1, True, False),
        ("fee:int64:-4611686018427387903..4611686018427387903", "fee", 0, 1 - 2**62, 2**62 - 1, True, False),
    ],
)
def test_values(spec: str, column: str, scale: int, low: int, high: int, *, whole: bool, clip: bool) -> None:
    assert parse_value(spec) == ValueUse(ValueColumn(name="fee", scale=scale, low=low, high=high), column, whole, clip)


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ("fee", "node.spec-wrong"),
        ("", "node.spec-wrong"),
        ("fee:int64", "node.spec-wrong"),
        ("fee:0..9", "node.spec-wrong"),
        ("fee:float64:0..9", "node.spec-wrong"),
        ("fee:decimal:0..9", "node.spec-wrong"),
        ("fee:int64:0..9:cut", "node.spec-wrong"),
        (":int64:0..9", "node.spec-wrong"),
        ("fee=:int64:0..9", "node.spec-wrong"),
        ("fee:decimal:10:0..9", "node.spec-scale"),
        ("fee:decimal:-1:0..9", "node.spec-scale"),
        ("fee:decimal:２:0..9", "node.spec-scale"),
        ("fee:decimal::0..9", "node.spec-scale"),
        ("fee:int64:0", "node.spec-range"),
        ("fee:int64:..", "node.spec-range"),
        ("fee:int64:0..", "node.spec-range"),
        ("fee:int64:0...9", "node.spec-range"),
        ("fee:int64:0..9.5", "node.spec-range"),
        ("fee:int64:0..1e3", "node.spec-range"),
        ("fee:int64:0..+9", "node.spec-range"),
        ("fee:int64:0..９", "node.spec-range"),
        ("fee:decimal:2:0..9.999", "node.spec-range"),
        ("fee:int64:1..0", "node.spec-range-wide"),
        ("fee:int64:0..4611686018427387904", "node.spec-range-wide"),
        ("fee:decimal:9:-5000000000..0", "node.spec-range-wide"),
    ],
)
def test_wrong_values(spec: str, code: str) -> None:
    assert code_of(UsageError, lambda: parse_value(spec)).code == code


def test_groups() -> None:
    assert parse_group("city") == GroupUse("city", "city")
    assert parse_group("city=收件 城市:x=y") == GroupUse("city", "收件 城市:x=y")
    for spec in ("", "=city", "city=", " city", "c" * 65):
        assert code_of(UsageError, lambda spec=spec: parse_group(spec)).code == "node.spec-wrong"


def test_noises() -> None:
    for spec, mechanism, budget in (
        ("laplace:0.5", "laplace", 500),
        ("laplace:1000", "laplace", 1_000_000),
        ("gaussian:0.001", "gaussian", 1),
        ("gaussian:2.50", "gaussian", 2_500),
    ):
        noise = Noise.model_validate({"mechanism": mechanism, "budget_thousandths": budget})
        assert parse_noise(spec) == noise
        assert parse_noise(str(noise)) == noise
    for spec in (
        "",
        "laplace",
        "laplace:",
        "laplace:0",
        "laplace:-1",
        "laplace:0.0005",
        "laplace:1000.001",
        "uniform:1",
        "laplace:1e0",
    ):
        assert code_of(UsageError, lambda spec=spec: parse_noise(spec)).code == "node.spec-noise"
