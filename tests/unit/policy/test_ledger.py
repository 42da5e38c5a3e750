import signal
import subprocess
import sys
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from psc.errors import BudgetExhaustedError, Rule, StorageError
from psc.node.home import Home
from psc.policy.agreement import RunLimits
from psc.policy.decide import Usage
from psc.policy.ledger import charges, release, reserve, usage
from tests.homes import code_of

NOW = datetime(2026, 11, 21, 17, 0, tzinfo=UTC)
PARTY = "ab" * 32


def charge(home: Home, number: int = 0, *, elements: int = 0, limits: RunLimits | None = None, **more: object) -> object:
    options: dict[str, object] = {"party": PARTY, "dataset": "parcels", "operation": "match", "moment": NOW}
    return reserve(
        home,
        run_id=f"run-{number:06d}",
        elements=elements,
        limits=limits or RunLimits(runs_per_day=3),
        **{**options, **more},  # type: ignore[arg-type]
    )


def test_a_quota_is_used_up_and_says_when_it_is_renewed(courier: Home) -> None:
    for number in range(3):
        charge(courier, number)
    error = code_of(BudgetExhaustedError, lambda: charge(courier, 3))
    assert isinstance(error, BudgetExhaustedError)
    assert error.rule is Rule.RUNS_PER_DAY
    assert error.fields["renews_at"] == "2026-11-22T00:00:00Z"
    assert usage(courier, PARTY, "parcels", moment=NOW) == Usage(3, 0)
    assert len(charges(courier)) == 3


def test_each_party_dataset_and_day_has_its_own_quota(courier: Home) -> None:
    for number in range(3):
        charge(courier, number)
    charge(courier, 3, party="cd" * 32)
    charge(courier, 4, dataset="other")
    charge(courier, 5, moment=NOW + timedelta(days=1))
    charge(courier, 6, moment=NOW - timedelta(days=1))
    assert usage(courier, PARTY, "parcels", moment=NOW) == Usage(3, 0)
    assert [entry.run_id for entry in charges(courier, day="2026-11-22")] == ["run-000005"]


def test_days_are_utc_days(courier: Home) -> None:
    last = datetime(2026, 11, 21, 23, 59, 59, tzinfo=UTC)
    one = RunLimits(runs_per_day=1)
    charge(courier, 0, limits=one, moment=last)
    code_of(BudgetExhaustedError, lambda: charge(courier, 1, limits=one, moment=last))
    charge(courier, 2, limits=one, moment=last + timedelta(seconds=1))
    from datetime import timezone

    beijing = datetime(2026, 11, 22, 7, 59, 59, tzinfo=timezone(timedelta(hours=8)))
    code_of(BudgetExhaustedError, lambda: charge(courier, 3, limits=one, moment=beijing))


def test_elements_are_charged_repeats_too(courier: Home) -> None:
    limits = RunLimits(runs_per_day=10, elements_per_day=100)
    charge(courier, 0, elements=60, limits=limits)
    error = code_of(BudgetExhaustedError, lambda: charge(courier, 1, elements=41, limits=limits))
    assert isinstance(error, BudgetExhaustedError)
    assert (error.rule, error.fields["left"]) == (Rule.ELEMENTS_PER_DAY, 40)
    charge(courier, 0, elements=40, limits=limits)  # another attempt of the same run is charged again
    assert usage(courier, PARTY, "parcels", moment=NOW) == Usage(2, 100)
    code_of(BudgetExhaustedError, lambda: charge(courier, 2, elements=1, limits=limits))
    charge(courier, 3, elements=0, limits=limits)


def test_a_released_charge_is_given_back_and_no_other(courier: Home) -> None:
    limits = RunLimits(runs_per_day=2)
    charge(courier, 0, limits=limits)
    kept = charge(courier, 1, limits=limits)
    release(courier, charges(courier)[0].run_id)
    assert charges(courier) == (kept,)
    charge(courier, 2, limits=limits)
    code_of(BudgetExhaustedError, lambda: charge(courier, 3, limits=limits))


def test_a_refused_charge_charges_nothing(courier: Home) -> None:
    limits = RunLimits(runs_per_day=1, elements_per_day=10)
    code_of(BudgetExhaustedError, lambda: charge(courier, 0, elements=11, limits=limits))
    assert charges(courier) == ()


def test_the_default_moment_is_now(courier: Home) -> None:
    charge(courier, moment=None)
    assert usage(courier, PARTY, "parcels") == Usage(1, 0)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quota=st.integers(0, 5),
    most=st.none() | st.integers(0, 30),
    asks=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 12)), max_size=15),
    seed=st.integers(0, 10**9),
)
def test_any_sequence_of_charges_keeps_the_quota(
    courier: Home, quota: int, most: int | None, asks: list[tuple[int, int]], seed: int
) -> None:
    """Against a plain model: three parties, a run and some elements each time."""
    limits = RunLimits(runs_per_day=quota, elements_per_day=most)
    dataset = f"d{seed}"
    with courier.store.write() as db:
        db.execute("DELETE FROM charges")
    used = dict.fromkeys(range(3), (0, 0))
    for number, (party, elements) in enumerate(asks):
        runs, spent = used[party]
        fits = runs < quota and (most is None or spent + elements <= most)
        try:
            charge(courier, number, elements=elements, limits=limits, party=f"{party:064x}", dataset=dataset)
        except BudgetExhaustedError:
            assert not fits
        else:
            assert fits
            used[party] = (runs + 1, spent + elements)
    for party, (runs, spent) in used.items():
        assert usage(courier, f"{party:064x}", dataset, moment=NOW) == Usage(runs, spent)


WORKER = """
import sys, threading
from datetime import UTC, datetime
from psc.errors import BudgetExhaustedError
from psc.node.home import Home
from psc.policy.agreement import RunLimits
from psc.policy.ledger import reserve

home, process, threads, asks = Home.open(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
limits = RunLimits(runs_per_day=60, elements_per_day=600)
accepted, failures, lock = 0, [], threading.Lock()

def ask(thread):
    global accepted
    for number in range(asks):
        try:
            reserve(home, party="ab" * 32, dataset="parcels", run_id=f"run-{process}-{thread}-{number}", operation="match",
                    elements=10, limits=limits, moment=datetime(2026, 11, 21, 17, tzinfo=UTC))
            with lock:
                accepted += 1
        except BudgetExhaustedError:
            pass
        except Exception as error:
            failures.append(repr(error))

workers = [threading.Thread(target=ask, args=(n,)) for n in range(threads)]
[worker.start() for worker in workers]
[worker.join() for worker in workers]
print(accepted, failures)
"""


def test_fifty_threads_in_each_of_three_processes_never_pass_the_quota(courier: Home) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", WORKER, str(courier.path), str(number), "50", "2"],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path.cwd(),
        )
        for number in range(3)
    ]
    outputs = [process.communicate(timeout=120)[0].strip() for process in started]
    accepted = [int(output.split(" ")[0]) for output in outputs]
    assert all(output.endswith("[]") for output in outputs), outputs
    assert sum(accepted) == 60
    assert usage(courier, PARTY, "parcels", moment=NOW) == Usage(60, 600)
    assert len({entry.run_id for entry in charges(courier)}) == 60


def test_fifty_threads_of_one_process_never_pass_the_quota(courier: Home) -> None:
    barrier = threading.Barrier(50)
    accepted, refused = [], []

    def ask(number: int) -> None:
        barrier.wait()
        try:
            accepted.append(charge(courier, number, limits=RunLimits(runs_per_day=7)))
        except BudgetExhaustedError as error:
            refused.append(error)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(50)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(accepted), len(refused)) == (7, 43)
    assert usage(courier, PARTY, "parcels", moment=NOW) == Usage(7, 0)


def test_a_charge_survives_a_kill_and_a_restart(courier: Home) -> None:
    script = (
        "import os, signal, sys\n"
        "from datetime import UTC, datetime\n"
        "from psc.node.home import Home\n"
        "from psc.policy.agreement import RunLimits\n"
        "from psc.policy.ledger import reserve\n"
        "home = Home.open(sys.argv[1])\n"
        f"reserve(home, party='{PARTY}', dataset='parcels', run_id='run-killed', operation='match', elements=5,\n"
        "        limits=RunLimits(), moment=datetime(2026, 11, 21, 17, tzinfo=UTC))\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(courier.path)], cwd=Path.cwd())
    assert done.returncode == -signal.SIGKILL
    courier.close()
    with Home.open(courier.path) as again:
        assert usage(again, PARTY, "parcels", moment=NOW) == Usage(1, 5)


def test_a_charge_that_cannot_be_written_is_an_error_and_not_a_run(courier: Home) -> None:
    with courier.store.write() as db:
        pages = db.execute("PRAGMA page_count").fetchone()[0]
        db.execute(f"PRAGMA max_page_count={pages}")  # of this connection, which the pool hands out again

    def fill() -> None:
        for number in range(10_000):
            charge(courier, number, limits=RunLimits(runs_per_day=10**6), dataset="d" * 60)

    assert code_of(StorageError, fill).code == "node.disk-full"
    written = len(charges(courier))
    assert usage(courier, PARTY, "d" * 60, moment=NOW) == Usage(written, 0)
