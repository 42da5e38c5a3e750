"""Made-up tables of a merchant and a courier, and the answer that a plain join gives.

Nothing here is a real person's: numbers, names and places are computed from the seed. A customer is an index into one shared
population, and everything about a customer follows from the index and the seed, so both tables agree about their common
customers without knowing of each other. The phone columns are as dirty as real ones: spellings, blanks, missing,
masked, with extensions, landlines, service numbers, tokens.

The oracle uses phonenumbers and pandas alone, nothing of ``psc.data``, so that a mistake there cannot hide behind itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import phonenumbers
import pyarrow as pa
import pyarrow.compute as pc

__all__ = [
    "ORDER_PHONE",
    "PARCEL_PHONE",
    "courier_parcels",
    "merchant_orders",
    "plain_join",
    "plain_keys",
    "plain_phone",
    "plain_shared",
]

ORDER_PHONE = "收件人手机"
"""The phone column of ``merchant_orders``."""

PARCEL_PHONE = "mobile"
"""The phone column of ``courier_parcels``."""

_Ints = npt.NDArray[np.uint64]

_SURNAMES = "王李张刘陈杨黄赵吴周徐孙马朱胡郭何林罗高"
_GIVEN = "伟芳娜敏静丽强磊军洋勇艳杰娟涛明超秀霞平刚桂英华玉萍红玲飞浩宇欣怡子涵"
_CITIES = ("深圳", "广州", "上海", "北京", "杭州", "成都", "武汉", "西安", "南京", "厦门")
_CITY_SHARES = (240, 180, 150, 120, 100, 80, 60, 40, 25, 5)
_TIERS = ("gold", "silver", "basic")
_TIER_SHARES = (10, 30, 60)
_STATUSES = ("signed", "in-transit", "delivering", "returned", "lost")
_STATUS_SHARES = (80, 12, 5, 2, 1)
_COURIERS = ("SF", "YT", "ZT", "JD")
_OPERATORS = (
    *("130", "131", "132", "133", "135", "136", "137", "138", "139", "150", "151", "152", "155", "157", "158", "159"),
    *("166", "173", "175", "176", "177", "178", "180", "181", "182", "185", "186", "187", "188", "189", "191", "198", "199"),
)
_PREFIXES = (*_OPERATORS, *_OPERATORS, *_OPERATORS, "165", "167", "170", "171")  # a few of virtual operators
_ROWS_OF_CUSTOMER = 1.6
"""Rows a customer has on average: one phone, several orders."""
_SHARED = 0.5
"""The share of each party's customers whom the other party may have too."""

_SPELLINGS = (  # weight of 10,000, pattern of the spelling; a is the first three digits, b four, c four
    (7_900, "{a}{b}{c}"),
    (400, "+86{a}{b}{c}"),
    (300, "86{a}{b}{c}"),
    (150, "0086{a}{b}{c}"),
    (300, "{a} {b} {c}"),
    (250, "{a}-{b}-{c}"),
    (150, "+86 {a} {b} {c}"),
    (100, "(+86) {a}-{b}-{c}"),
    (100, " {a}{b}{c} "),
    (50, "0{a}{b}{c}"),
    (80, "FULL WIDTH"),
)
_DIRT = (  # weight of 10,000, what stands instead of a number
    (100, ""),
    (40, "{a}****{c}"),
    (20, "{a}{b}{c}-{x}"),
    (20, "{a}{b}{c}转{x}"),
    (10, "{a}{b}{c},{x}"),
    (10, "95{x}"),
    (10, "~Ag{a}x{b}Zk{c}QmT{x}w~1~"),
    (10, "{a}{b}"),
)


# --- numbers from the seed -----------------------------------------------------------------------------------------


def _mix(seed: int, stream: str, index: npt.ArrayLike) -> _Ints:
    """Return a 64-bit number for each index: SplitMix64, keyed by seed and stream, the same on every machine and version."""
    key = (seed * 0x9E3779B97F4A7C15 + int.from_bytes(stream.encode()[:8].ljust(8, b"."), "little")) % 2**64
    with np.errstate(over="ignore"):
        state = (np.asarray(index, np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(key)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            state = (state ^ (state >> np.uint64(shift))) * np.uint64(factor)
    return state ^ (state >> np.uint64(31))


def _below(seed: int, stream: str, index: npt.ArrayLike, limit: int) -> npt.NDArray[np.int64]:
    """Return a number from 0 to ``limit - 1`` for each index."""
    return (_mix(seed, stream, index) % np.uint64(limit)).astype(np.int64)


def _choice(seed: int, stream: str, index: npt.ArrayLike, weights: Sequence[int]) -> npt.NDArray[np.int64]:
    bounds = np.cumsum(weights)
    return np.searchsorted(bounds, _below(seed, stream, index, int(bounds[-1])), side="right")


def _pick(values: Sequence[str], which: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array(values, pa.string()).take(pa.array(which))


def _digits(numbers: npt.NDArray[np.int64], width: int) -> pa.Array:
    return pc.utf8_lpad(pa.array(numbers).cast(pa.string()), width, "0")


# --- people --------------------------------------------------------------------------------------------------------


def _phone_parts(seed: int, customers: npt.NDArray[np.int64]) -> tuple[pa.Array, pa.Array, pa.Array]:
    """Return the 3 + 4 + 4 digits of each customer's mobile; every one is a valid number."""
    prefix = _pick(_PREFIXES, _below(seed, "prefix", customers, len(_PREFIXES)))
    rest = _below(seed, "number", customers, 10**8)
    return prefix, _digits(rest // 10**4, 4), _digits(rest % 10**4, 4)


def _of_phone(seed: int, stream: str, shares: Sequence[int], customers: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Draw an index by ``shares`` for each row, the same for every row with one phone: the key decides, so that it can group.

    Two customers may have one number by chance; so neither the customer nor the row is what is drawn for.
    """
    prefix = np.array([int(one) for one in _PREFIXES])[_below(seed, "prefix", customers, len(_PREFIXES))]
    return _choice(seed, stream, prefix * 10**8 + _below(seed, "number", customers, 10**8), shares)


def _cities(seed: int, stream: str, customers: npt.NDArray[np.int64]) -> pa.Array:
    """Return the city of each row; a landline of Shenzhen is there."""
    city = _of_phone(seed, "city", _CITY_SHARES, customers)
    return _pick(_CITIES, np.where(_at_a_desk(seed, stream, len(customers)), _CITIES.index("深圳"), city))


def _at_a_desk(seed: int, stream: str, rows: int) -> npt.NDArray[np.bool_]:
    """Return which rows have a landline."""
    return _below(seed, stream + "land", np.arange(rows), 10_000) < 30


def _phones(seed: int, stream: str, customers: npt.NDArray[np.int64]) -> pa.Array:
    """Return the phone cell of each row: one of many spellings, or dirt."""
    rows = np.arange(len(customers))
    dirty_weights = [weight for weight, _ in _DIRT]
    spelled_weights = [weight for weight, _ in _SPELLINGS]
    patterns = [pattern for _, pattern in (*_SPELLINGS, *_DIRT)]
    spelled = _choice(seed, stream + "spell", rows, spelled_weights)
    dirt = _choice(seed, stream + "dirt", rows, [10_000 - sum(dirty_weights), *dirty_weights])
    which = np.where(dirt > 0, len(_SPELLINGS) + dirt - 1, spelled)
    a, b, c = _phone_parts(seed, customers)
    x = _digits(_below(seed, stream + "ext", rows, 10**3), 3)
    cells = pa.nulls(len(rows), pa.string())
    for index, pattern in enumerate(patterns):
        here = pa.array(which == index)
        parts = {name: column.filter(here) for name, column in (("a", a), ("b", b), ("c", c), ("x", x))}
        count = int((which == index).sum())
        cells = pc.replace_with_mask(cells, here, _spelled(pattern, parts, count))
    landline = pa.array(_at_a_desk(seed, stream, len(rows)))
    numbers = pc.binary_join_element_wise("0755-8", _digits(_below(seed, "desk", customers, 10**7), 7), "")
    cells = pc.if_else(landline, numbers, cells)
    return pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)


def _spelled(pattern: str, parts: dict[str, pa.Array], count: int) -> pa.Array:
    if pattern == "FULL WIDTH":
        plain = pc.binary_join_element_wise(parts["a"], parts["b"], parts["c"], "")
        wide = str.maketrans("0123456789", "０１２３４５６７８９")
        return pa.array([cell.translate(wide) for cell in plain.to_pylist()], pa.string())
    pieces: list[pa.Array | str] = []
    for piece in pattern.replace("{", "\x00{").replace("}", "}\x00").split("\x00"):
        if piece:
            pieces.append(parts[piece[1]] if piece.startswith("{") else pa.array([piece] * count, pa.string()))
    return pc.binary_join_element_wise(*pieces, "") if pieces else pa.array([""] * count, pa.string())


def _customers(rows: int, seed: int, party: int) -> npt.NDArray[np.int64]:
    """Return the customer of each row: some have many rows, and about half of the customers are the other party's too."""
    count = max(1, round(rows / _ROWS_OF_CUSTOMER))
    stream = f"rows{party}"
    # The smaller of two draws: the first customers of the list order more often than the last.
    first, second = (_below(seed, f"{stream}{draw}", np.arange(rows), count) for draw in "ab")
    drawn = np.minimum(first, second)
    shared = _below(seed, "shared", drawn, 10_000) < _SHARED * 10_000
    return np.where(shared, drawn, drawn + (party + 1) * 2**32)


def _names(seed: int, customers: npt.NDArray[np.int64]) -> pa.Array:
    surname = _pick(_SURNAMES, _below(seed, "surname", customers, len(_SURNAMES)))
    first = _pick(_GIVEN, _below(seed, "given", customers, len(_GIVEN)))
    second = _pick([*_GIVEN, ""], _below(seed, "second", customers, len(_GIVEN) + 1))
    return pc.binary_join_element_wise(surname, first, second, "")


def _dates(seed: int, stream: str, rows: npt.NDArray[np.int64]) -> pa.Array:
    return pa.array((20_393 + _below(seed, stream, rows, 30)).astype(np.int32)).view(pa.date32())  # from 2025-11-01


# --- tables --------------------------------------------------------------------------------------------------------


def merchant_orders(rows: int, seed: int = 1) -> pa.Table:
    """Make a merchant's orders.

    Args:
        rows: how many orders.
        seed: the same seed gives the same table, and shares customers with ``courier_parcels`` of that seed.

    Returns:
        Columns ``order_id``, 收件人, 收件人手机 (dirty), ``city`` and ``tier`` (both the same for all orders of a number),
        ``amount`` (yuan), ``items``, ``rebate`` (the share of freight that is paid back, two decimals), ``created`` (date).
    """
    at = np.arange(rows)
    customers = _customers(rows, seed, 0)
    # A landline is a customer of its own, and has no tier but the last.
    tier = np.where(_at_a_desk(seed, "o", rows), len(_TIERS) - 1, _of_phone(seed, "tier", _TIER_SHARES, customers))
    columns = {
        "order_id": pc.binary_join_element_wise("DD2025", _digits(at + 1, 10), ""),
        "收件人": _names(seed, customers),
        ORDER_PHONE: _phones(seed, "o", customers),
        "city": _cities(seed, "o", customers),
        "tier": _pick(_TIERS, tier),
        "amount": pa.array((1_000 + _below(seed, "amount", at, 200_000)) / 100),
        "items": pa.array(1 + _below(seed, "items", at, 5)),
        "rebate": pa.array(_below(seed, "rebate", at, 31) / 100),
        "created": _dates(seed, "created", at),
    }
    return pa.table(columns)


def courier_parcels(rows: int, seed: int = 1) -> pa.Table:
    """Make a courier's parcels.

    Args:
        rows: how many parcels.
        seed: the same seed gives the same table, and shares customers with ``merchant_orders`` of that seed.

    Returns:
        Columns ``waybill``, ``mobile`` (dirty), ``city`` (the same for all parcels of a number), ``status``, ``fee`` (fen),
        ``paid`` (the fee in yuan, a decimal; null where the sender has an account), ``weight`` (kg), ``accepted`` (date).
    """
    at = np.arange(rows)
    customers = _customers(rows, seed, 1)
    fee = 600 + _below(seed, "fee", at, 2_400)
    paid = pc.multiply(pa.array(fee).cast(pa.decimal128(19, 0)), pa.scalar(Decimal("0.01"))).cast(pa.decimal128(9, 2))
    on_account = pa.array(_below(seed, "account", at, 100) < 12)
    courier = _pick(_COURIERS, _below(seed, "courier", at, len(_COURIERS)))
    columns = {
        "waybill": pc.binary_join_element_wise(courier, _digits(10**12 + at * 7, 13), ""),
        PARCEL_PHONE: _phones(seed, "p", customers),
        "city": _cities(seed, "p", customers),
        "status": _pick(_STATUSES, _choice(seed, "status", at, _STATUS_SHARES)),
        "fee": pa.array(fee),
        "paid": pc.if_else(on_account, pa.scalar(None, paid.type), paid),
        "weight": pa.array((5 + _below(seed, "weight", at, 2_000)) / 100),
        "accepted": _dates(seed, "accepted", at),
    }
    return pa.table(columns)


# --- the oracle ----------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1 << 20)
def plain_phone(cell: str, region: str = "CN") -> str | None:
    """Return the E.164 number of a cell as libphonenumber reads it, or None when it is no subscriber's own line.

    Beside what libphonenumber calls invalid, these are no keys: numbers with an extension, toll-free, shared-cost and premium
    numbers, area codes with a short service number, 95-prefix numbers, and cells with masked digits.
    """
    if "*" in cell or cell.strip().startswith("95"):
        return None
    try:
        number = phonenumbers.parse(cell, region)
    except phonenumbers.NumberParseException:
        return None
    kinds = phonenumbers.PhoneNumberType
    services = (kinds.TOLL_FREE, kinds.PREMIUM_RATE, kinds.SHARED_COST, kinds.UAN, kinds.VOICEMAIL)
    if not phonenumbers.is_valid_number(number) or number.extension or phonenumbers.number_type(number) in services:
        return None
    if number.country_code == 86 and len(phonenumbers.national_significant_number(number)) < 10:
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)


def plain_keys(table: pa.Table, column: str, region: str = "CN") -> pd.Series:
    """Return the E.164 number of each row, None where there is none."""
    cells = table.column(column).to_pylist()
    return pd.Series([None if cell is None else plain_phone(str(cell), region) for cell in cells], dtype=object)


def plain_join(
    orders: pa.Table,
    parcels: pa.Table,
    *,
    left_on: str = ORDER_PHONE,
    right_on: str = PARCEL_PHONE,
    want: Sequence[str] = ("status",),
    max_rows_per_key: int | None = None,
    region: str = "CN",
) -> pd.DataFrame:
    """Join two tables in the clear: what ``match`` must give.

    Args:
        orders: the initiator's table.
        parcels: the responder's table.
        left_on: the phone column of ``orders``.
        right_on: the phone column of ``parcels``.
        want: columns of ``parcels`` to add; a name that ``orders`` has too gets the suffix ``_right``.
        max_rows_per_key: keep only so many of the first rows of ``parcels`` with one number; None keeps all.
        region: of numbers without ``+``.

    Returns:
        One row for each pair of an order and a parcel with the same number: ``left_row`` and ``right_row`` (0-based), ``key``
        (E.164), the columns of ``orders`` and the wanted ones; ordered by ``left_row``, then ``right_row``.
    """
    left = orders.to_pandas().assign(left_row=np.arange(orders.num_rows), key=plain_keys(orders, left_on, region))
    right = parcels.select(list(want)).to_pandas()
    right = right.assign(right_row=np.arange(parcels.num_rows), key=plain_keys(parcels, right_on, region))
    right = right.dropna(subset=["key"])
    if max_rows_per_key is not None:
        right = right.groupby("key", sort=False).head(max_rows_per_key)
    joined: pd.DataFrame = left.dropna(subset=["key"]).merge(right, on="key", how="inner", suffixes=("", "_right"))
    return joined.sort_values(["left_row", "right_row"], ignore_index=True)


def plain_shared(orders: pa.Table, parcels: pa.Table, *, own: Sequence[str] = (), region: str = "CN") -> pd.DataFrame:
    """Return the parcels of customers who have orders, too: what ``aggregate`` adds up.

    Args:
        orders: the initiator's table.
        parcels: the responder's table.
        own: columns of ``orders`` that are the same in all orders of a customer, to group by.
        region: of numbers without ``+``.

    Returns:
        One row a parcel, however many orders its customer has: the columns of ``parcels``, ``key`` (E.164) and ``own``.
    """
    customers = orders.select(list(own)).to_pandas() if own else pd.DataFrame(index=range(orders.num_rows))
    customers = customers.assign(key=plain_keys(orders, ORDER_PHONE, region)).dropna(subset=["key"]).drop_duplicates("key")
    rows = parcels.to_pandas().assign(key=plain_keys(parcels, PARCEL_PHONE, region)).dropna(subset=["key"])
    shared: pd.DataFrame = rows.merge(customers, on="key", how="inner", suffixes=("", "_own"))
    return shared
