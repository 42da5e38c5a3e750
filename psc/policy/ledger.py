"""The ledger of quotas: what each party was charged, a day, on each dataset.

A charge is made in one transaction with the check that it fits, when a run is accepted and before any protocol message; it
stays when the run fails or is aborted, because a cheating peer could otherwise stop each run after the last useful message
and ask for ever. It is written through to the disk before the run goes on, so neither a crash nor a restart gives it back.
Days are UTC days. A party's rotated identity has the quota of the party.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime

from psc.errors import Rule
from psc.node.clock import next_day, now, timestamp, utc_day
from psc.node.home import Home
from psc.policy.agreement import RunLimits
from psc.policy.decide import Deny, Usage

__all__ = ["Charge", "charges", "release", "reserve", "usage"]


@dataclass(frozen=True, slots=True)
class Charge:
    """One entry of the ledger."""

    party: str
    dataset: str
    run_id: str
    operation: str
    runs: int
    elements: int
    at: str


def usage(home: Home, party: str, dataset: str, *, moment: datetime | None = None) -> Usage:
    """Return what a party was charged on a dataset on the UTC day of ``moment`` (today by default)."""
    with home.store.read() as db:
        return _used(db, party, dataset, utc_day(moment or now()))


def reserve(
    home: Home,
    *,
    party: str,
    dataset: str,
    run_id: str,
    operation: str,
    elements: int,
    limits: RunLimits,
    moment: datetime | None = None,
) -> Charge:
    """Charge one run and its elements, if the quota of the day allows both.

    Args:
        home: the node that answers.
        party: who asks (``Partner.party``).
        dataset: the dataset asked for.
        run_id: the run; a second attempt of it is charged again.
        operation: what is computed.
        elements: distinct elements of the initiator that will be evaluated, at least 0; repeats of earlier runs count too.
        limits: the bounds that the decision allowed.
        moment: the present moment; the clock's by default.

    Raises:
        BudgetExhaustedError: nothing was charged; the text says when the quota is renewed.
        StorageError: the charge could not be made durable; the run must not go on.
    """
    moment = moment or now()
    return _charge(home, Charge(party, dataset, run_id, operation, 1, elements, timestamp(moment)), limits, moment)


def release(home: Home, run_id: str) -> None:
    """Take back the charge of a run that was never accepted because this node's own data was not ready."""
    with home.store.write() as db:
        db.execute("DELETE FROM charges WHERE run_id = ?", (run_id,))


def charges(home: Home, *, day: str | None = None) -> tuple[Charge, ...]:
    """Return the charges of a UTC day (``2026-11-21``), or all, in order."""
    where, values = ("WHERE day = ?", (day,)) if day is not None else ("", ())
    with home.store.read() as db:
        rows = db.execute(
            f"SELECT party, dataset, run_id, operation, runs, elements, at FROM charges {where} ORDER BY id",  # noqa: S608 - constant
            values,
        ).fetchall()
    return tuple(Charge(*row) for row in rows)


def _charge(home: Home, charge: Charge, limits: RunLimits, moment: datetime) -> Charge:
    day = utc_day(moment)
    with home.store.write() as db:
        used = _used(db, charge.party, charge.dataset, day)
        refusal = _refusal(charge, used, limits, moment)
        if refusal is not None:
            raise refusal.error()
        db.execute(
            "INSERT INTO charges (party, dataset, day, run_id, operation, runs, elements, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (charge.party, charge.dataset, day, charge.run_id, charge.operation, charge.runs, charge.elements, charge.at),
        )
    return charge


def _refusal(charge: Charge, used: Usage, limits: RunLimits, moment: datetime) -> Deny | None:
    common: dict[str, object] = {"dataset": charge.dataset, "renews_at": timestamp(next_day(moment))}
    if charge.runs and used.runs + charge.runs > limits.runs_per_day:
        return Deny(Rule.RUNS_PER_DAY, {**common, "runs_per_day": limits.runs_per_day})
    most = limits.elements_per_day
    if most is not None and used.elements + charge.elements > most:
        return Deny(Rule.ELEMENTS_PER_DAY, {**common, "elements_per_day": most, "left": max(0, most - used.elements)})
    return None


def _used(db: sqlite3.Connection, party: str, dataset: str, day: str) -> Usage:
    statement = (
        "SELECT COALESCE(SUM(runs), 0), COALESCE(SUM(elements), 0) FROM charges WHERE party = ? AND dataset = ? AND day = ?"
    )
    runs, elements = db.execute(statement, (party, dataset, day)).fetchone()
    return Usage(runs, elements)
