"""Writes the figures of the documents from the raw samples: ``python -m benchmarks.report``.

Reads ``benchmarks/results/*.jsonl`` (``make bench`` and its like append to them), replaces what stands between the markers of
``docs/benchmarks.md`` and of both READMEs, and draws ``docs/img/bench-*.svg``. Nothing there is typed by hand.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.plots import Bar, bars

RESULTS = Path("benchmarks/results")
BEGIN, END = "<!-- figures -->", "<!-- end of figures -->"
Sample = dict[str, Any]


def samples(name: str) -> list[Sample]:
    """Return the samples of one file, none when it does not exist."""
    path = RESULTS / name
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; the first column to the left, the others to the right."""
    lines = ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def median(found: Sequence[Sample], *keys: str) -> float:
    """Return the median of a figure, which may stand inside another."""
    values = []
    for sample in found:
        value: Any = sample
        for key in keys:
            value = value[key]
        values.append(float(value))
    return statistics.median(values)


def grouped(found: Sequence[Sample], *keys: str) -> dict[tuple[Any, ...], list[Sample]]:
    """Return samples by the values of some keys, in order."""
    groups: dict[tuple[Any, ...], list[Sample]] = defaultdict(list)
    for sample in found:
        groups[tuple(sample[key] for key in keys)].append(sample)
    return dict(sorted(groups.items(), key=lambda entry: [(str(type(value)), value) for value in entry[0]]))


def machine_line(found: Sequence[Sample]) -> str:
    """Say what the figures were measured on."""
    last = found[-1]
    wide = ", ".join(last["instructions"])
    return f"{last['processor']} (family/model {last['family_model']}), {last['cores']} cores, {wide}; Python {last['python']}."


def told(found: Sequence[Sample], form: str, *keys: str, unit: float = 1.0) -> str:
    """Return the median of a figure as text, a dash where it was not measured."""
    try:
        return format(median(found, *keys) / unit, form)
    except KeyError:
        return "–"


def both(found: Sequence[Sample], form: str, first: str, second: str, *, unit: float = 1.0, of: Sequence[str] = ()) -> str:
    """Return the medians of a pair of figures as text."""
    return " / ".join(told(found, form, *of, key, unit=unit) for key in (first, second))


def size_text(rows: int, partner_rows: int) -> str:
    """Return the keys of both sides as text."""
    return f"{rows:,}" if rows == partner_rows else f"{rows:,} × {partner_rows:,}"


CPU, PEAK, MOVED = (
    ("initiator_cpu_seconds", "responder_cpu_seconds"),
    ("initiator_peak_rss_bytes", "responder_peak_rss_bytes"),
    ("bytes_sent", "bytes_received"),
)
LARGE = 1 << 21


def small(sample: Sample) -> bool:
    """Say whether a run belongs to the table of ordinary sizes."""
    return sample["rows"] == sample["partner_rows"] < LARGE


def macro(found: Sequence[Sample]) -> str:
    """Return the table of whole runs."""
    head = (
        "operation",
        "keys a side",
        "protocol",
        "runs",
        "wall s",
        "the run s (planned)",
        "CPU s",
        "peak MB",
        "MB",
        "MB planned",
    )
    rows = []
    for (operation, own, others, files), group in grouped(found, "operation", "rows", "partner_rows", "files").items():
        rows.append(
            (
                operation + (", Parquet to Parquet" if files == "parquet" else ""),
                size_text(own, others),
                f"{group[0]['protocol']}, {group[0]['model']}",
                str(len(group)),
                told(group, ".2f", "wall_seconds"),
                f"{told(group, '.2f', 'run_seconds')} ({told(group, '.2f', 'plan_seconds')})",
                both(group, ".2f", *CPU),
                both(group, ",.0f", *PEAK, unit=1e6),
                both(group, ",.1f", *MOVED, unit=1e6),
                both(group, ",.1f", "plan_bytes_sent", "plan_bytes_received", unit=1e6),
            )
        )
    return table(head, rows)


def resumed(found: Sequence[Sample]) -> str:
    """Return the table of runs of which one party was killed."""
    rows = [
        (
            f"whole, {size_text(own, others)}" if not killed else f"after the {killed} was killed",
            str(len(group)),
            told(group, ".0f", "finished_shards"),
            told(group, ".1f", "wall_seconds"),
            both(group, ".1f", *CPU),
            both(group, ",.0f", *MOVED, unit=1e6),
        )
        for (own, others, killed), group in grouped(found, "rows", "partner_rows", "killed").items()
    ]
    return table(("run", "runs", "shards kept", "wall s", "CPU s", "MB"), rows)


def peers(found: Sequence[Sample]) -> str:
    """Return the table of paired runs beside a peer."""
    head = (
        "peer",
        "psc by",
        "keys a side",
        "pairs",
        "psc s",
        "peer s",
        "peer / psc (least)",
        "CPU s, psc and peer",
        "peer / psc, CPU",
    )
    head += ("psc peak MB", "peer peak MB")
    rows = []
    for key, group in grouped(found, "peer", "version", "files", "rows", "partner_rows", "protocol", "released").items():
        peer, version, files, own, others, protocol, released = key
        kind = (", one column released" if released else "") + (", Parquet" if files == "parquet" else "")
        rows.append(
            (
                f"{peer} {version}",
                f"{protocol}{kind}",
                size_text(own, others),
                str(len(group)),
                told(group, ".2f", "psc", "wall_seconds"),
                told(group, ".2f", "theirs", "wall_seconds"),
                f"{median(group, 'ratio'):.2f} ({min(sample['ratio'] for sample in group):.2f})",
                f"{told(group, '.2f', 'psc', 'cpu_seconds')} / {told(group, '.2f', 'theirs', 'cpu_seconds')}",
                told(group, ".2f", "cpu_ratio"),
                both(group, ",.0f", *PEAK, unit=1e6, of=("psc",)),
                both(group, ",.0f", *PEAK, unit=1e6, of=("theirs",)),
            )
        )
    return table(head, rows)


def peer_bars(found: Sequence[Sample]) -> str:
    """Plot pairs without released columns at the largest size of each peer; return the image's Markdown."""
    plain = [sample for sample in found if not sample["released"] and small(sample)]
    groups = []
    for (peer,), group in grouped(plain, "peer").items():
        most = max(sample["rows"] for sample in group)
        group = [sample for sample in group if sample["rows"] == most]
        ours, theirs = (median(group, side, "wall_seconds") for side in ("psc", "theirs"))
        own = Bar([("psc", ours)], f"{ours:.2f} s, {group[0]['protocol']}")
        groups.append(
            (f"{peer}, {most:,} keys", [own, Bar([("peer", theirs)], f"{theirs:.2f} s, {median(group, 'ratio'):.2f} ×")])
        )
    return plot("peers", "Whole commands, wall seconds, beside peers in pairs", groups)


def net(found: Sequence[Sample]) -> str:
    """Return the table of runs over a slow line."""
    head = (
        "operation",
        "keys a side",
        "protocol",
        "runs",
        "wall s",
        "the run s",
        "the bytes alone s",
        "line busy",
        "CPU s",
        "MB on the line",
        "spu RR22 / psc",
    )
    rows = []
    for (operation, own, others), group in grouped(found, "operation", "rows", "partner_rows").items():
        busier = max(median(group, f"line_bytes_{way}") for way in ("sent", "received"))
        rows.append(
            (
                operation,
                size_text(own, others),
                group[0].get("protocol", "–"),
                str(len(group)),
                told(group, ".2f", "wall_seconds"),
                told(group, ".2f", "run_seconds"),
                f"{busier * 8e-6 / group[0]['megabits']:.2f}",
                told(group, ".0%", "line_busy"),
                both(group, ".2f", *CPU),
                both(group, ",.1f", "line_bytes_sent", "line_bytes_received", unit=1e6),
                told(group, ".2f", "ratios", "spu RR22") if operation.startswith("match") else "–",
            )
        )
    return table(head, rows)


def net_line(found: Sequence[Sample]) -> str:
    """Say what the line was."""
    last = found[-1]
    asked = f"{last['megabits']:.0f} Mbit/s each way, a round trip of {last['round_trip_ms']:.0f} ms, made by {last['made_by']}"
    return (
        f"{asked}; measured: {last['measured_round_trip_ms']:.1f} ms, {last['measured_megabits']:.0f} Mbit/s by one TCP stream."
    )


def net_bars(found: Sequence[Sample], near: Sequence[Sample]) -> str:
    """Plot runs over the line beside those over the loopback interface, at the largest size; return the image's Markdown."""
    most = max(sample["rows"] for sample in found)
    loopback = grouped([sample for sample in near if small(sample)], "operation", "rows")
    groups = []
    for (operation, rows), group in grouped(found, "operation", "rows").items():
        if rows == most:
            wall = median(group, "wall_seconds")
            own = [Bar([("over the line", wall)], f"{wall:.1f} s, busy {median(group, 'line_busy'):.0%}")]
            if (operation, rows) in loopback:
                wall = median(loopback[operation, rows], "wall_seconds")
                own.insert(0, Bar([("over the loopback interface", wall)], f"{wall:.1f} s"))
            groups.append((operation.replace(", members known to the matcher", ", members known"), own))
    return plot("net", f"Whole commands, wall seconds, {most:,} keys a side", groups)


def core(found: Sequence[Sample]) -> str:
    """Return the plot and the table of the core alone, phase by phase."""
    groups = {f"{mode}, {keys:,}": group for (mode, keys), group in grouped(found, "mode", "keys").items()}
    phases = list(found[-1]["phases"])
    drawn, columns = [], []
    for name, group in groups.items():
        seconds = [median(group, "phases", phase) for phase in phases]
        whole = statistics.median(sample["sender"] + sample["receiver"] for sample in group)
        drawn.append((name, [Bar(list(zip(phases, seconds, strict=True)), f"{whole:.3f} s")]))
        parties = [median(group, party) for party in ("sender", "receiver")]
        moved = [f"{median(group, f'bytes_to_{party}') / 1e6:,.1f} MB" for party in ("sender", "receiver")]
        columns.append([*(f"{value * 1e3:.1f}" for value in (*seconds, *parties, whole)), *moved])
    lines = (*phases, "sender, all", "receiver, all", "**both**", "to the sender", "to the receiver")
    head = ("phase, ms", *(f"{name} keys, {len(group)} runs" for name, group in groups.items()))
    image = plot("core", "vole-psi in memory, one thread, seconds", drawn, ("goal 0.5 s", 0.5))
    return f"{image}\n\n{table(head, list(zip(lines, *columns, strict=True)))}"


def plot(name: str, title: str, groups: Sequence[tuple[str, Sequence[Bar]]], goal: tuple[str, float] | None = None) -> str:
    """Write a plot beside the document; return the Markdown that shows it."""
    bars(Path(f"docs/img/bench-{name}.svg"), title, groups, goal)
    return f"![{title}](img/bench-{name}.svg)"


def encryption(found: Sequence[Sample]) -> str:
    """Return the tables of packed encryption: its phases by backend, and encryption a value beside peers."""
    phases = [sample for sample in found if sample["part"] == "phase"]
    rows = []
    for (backend, phase), group in grouped(phases, "backend", "phase").items():
        seconds = [f"{median(group, key):.4f}" for key in ("seconds", "cpu_seconds")]
        rows.append((f"{phase}, `{backend}`", str(len(group)), f"{group[0]['positions']:,}", *seconds))
    whole = table(("phase", "rounds", "positions", "wall s", "CPU s"), rows)
    peer_rows = []
    for (peer, released), group in grouped([one for one in found if one["part"] == "peer"], "peer", "version").items():
        micro = [f"{median(group, key) / group[0]['values'] * 1e6:,.2f}" for key in ("seconds", "cpu_seconds")]
        peer_rows.append((f"{peer} ({released})", *micro))
    return f"{whole}\n\n" + table(("encryption by peers", "µs a value", "CPU µs a value"), peer_rows)


def shares(found: Sequence[Sample]) -> str:
    """Return the table of CPU shares, the last measurement of each operation."""
    last = {(sample["operation"], sample["rows"]): sample for sample in found}
    parts = list(next(iter(last.values()))["shares"])
    rows = [
        (f"{operation}, {rows:,}", f"{sample['seconds']:.2f}", *(f"{sample['shares'][part]:.1%}" for part in parts))
        for (operation, rows), sample in last.items()
    ]
    return table(("operation, keys a side", "s", *parts), rows)


def okvs(found: Sequence[Sample]) -> str:
    """Return the table of the key-value store's failure rates."""
    head = ("keys", "widths", "trials a width", "failures", "bits a bit of width", "bits at 256", "by theory", "bits at 256")
    rows = []
    for (keys,), group in grouped(found, "keys").items():
        points = [sample for sample in group if sample["benchmark"] == "okvs.failure"]
        fit = next(sample for sample in group if sample["benchmark"] == "okvs.failure.fit")
        rows.append(
            (
                f"{keys:,}",
                f"{points[0]['width']} to {points[-1]['width']}",
                f"{points[0]['trials']:,}",
                f"{points[0]['failures']:,} to {points[-1]['failures']:,}",
                f"{fit['slope']:.3f}",
                f"{fit['bits']:.1f}",
                f"{fit['slope_of_queue']:.3f}",
                f"{fit['bits_of_queue']:.1f}",
            )
        )
    return table(head, rows)


def replace(path: Path, text: str) -> None:
    """Replace what stands between the markers of a document."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2] if END in rest else rest
    path.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


def sections() -> list[tuple[str, list[Sample], str, list[str]]]:
    """Return what can be told of the samples there are: title, samples, what they are, and what shows them."""
    whole, pairs, line = samples("macro.jsonl"), samples("peers.jsonl"), samples("net.jsonl")
    alone, profiled, encrypted = samples("core.jsonl"), samples("shares.jsonl"), samples("rlwe.jsonl")
    broken = samples("resume.jsonl")
    usual, large = [one for one in whole if small(one)], [one for one in whole if not small(one)]
    found: list[tuple[str, list[Sample], str, list[str]]] = []
    if alone:
        found.append(("Core only, phase by phase", alone, _CORE, [core(alone)]))
    if usual:
        found.append(("Whole runs", usual, _WHOLE, [macro(usual)]))
    if large:
        found.append(("Large and uneven sets", large, _LARGE, [macro(large)]))
    if broken:
        found.append(("Runs that broke off", broken, _RESUMED, [resumed(broken)]))
    if pairs:
        found.append(("Beside peers", pairs, _PEERS, [peer_bars(pairs), peers(pairs)]))
    if line:
        found.append(("Over a slow line", line, f"{_NET} {net_line(line)}", [net_bars(line, whole), net(line)]))
    if profiled:
        found.append(("Where the CPU time goes", profiled, _SHARES, [shares(profiled)]))
    if encrypted:
        found.append(("Packed encryption", [encrypted[-1]["machine"]], _ENCRYPTION, [encryption(encrypted)]))
    return found


_CORE = """`make bench`: both parties one after another in memory, without network, files or Python, on one thread;
milliseconds. Bytes are each party's messages. The goal is 0.5 s for both parties at 2^20 keys a side."""
_WHOLE = """`make bench`: `psc match` (one released text column; one-sided: none), `count` and `aggregate` (three sums by ten
groups), CSV in and out, against a served Parquet file, mutual TLS on the loopback interface; both parties share the cores.
`wall` is the whole command, interpreter included; `the run` is what `psc` itself says, and in brackets what its plan said.
CPU and peak memory: initiator / responder. MB: sent / received by the initiator."""
_LARGE = """`make bench-large`: the same at 10^7 keys a side and at 50,000 keys against 3·10^7, from and to Parquet. At 10^7
it also sets spu's RR22 beside psc: see [Beside peers](#beside-peers)."""
_RESUMED = """`make bench-large`: a match with one released column, result to both, from and to Parquet: whole; then, with either
party killed (SIGKILL) when half of its shards were kept, what the same command takes to finish it. A byte of a kept file is
flipped and must be noticed, and each result must be the whole run's to the byte, or there is no line here."""
_PEERS = """`make bench-peers`: `psc match` and a peer on the same files in the same call, in pairs, CSV to CSV (Parquet where it
says so: then psc reads and writes Parquet, and the peer CSV of the same rows), mutual TLS for both, both parties on one machine.
`peer / psc` is the median of the ratios of the pairs. Peers return the matched rows of their own file; where a column is
released, psc joins the partner's to them too. spu has its defaults in everything. In ECDH (Curve25519) it takes SHA-256 of an
item as a point's u-coordinate, which lets the peer read one bit of each item; psc hashes to the group (RFC 9380, RFC 9496).
OpenMined's PSI (ECDH on P-256) makes messages only: here they go over one TLS connection, with the server's items raw, and
both parties work at the same time where the protocol lets them. CPU: of both parties; peak memory: initiator / responder."""
_NET = """`make bench-net`: each company in a network namespace of its own, files as above but all CSV, mutual TLS; then
spu's RR22 on the same files in the same round, and the ratio of its wall time to psc's. `The bytes alone` is what the busier
direction takes at the line's rate, `line busy` its share of the wall time; MB: sent / received by the initiator's device, packet
headers and acknowledgements included. The line:"""
_SHARES = "Shares of the samples of both processes, from the plan to the written result, CSV in and out (`perf`)."
_ENCRYPTION = """The encrypted leg of sums alone: 3 columns by 10 cells, 30 sums, all threads; and encryption a value by other
libraries, in the same rounds.
[packed-encryption.md](protocols/packed-encryption.md) has the kernels beside their bound."""


def main() -> None:
    """Write the figures from the command line."""
    failures = samples("okvs_failure.jsonl")
    if failures:
        replace(Path("docs/protocols/vole-psi.md"), okvs(failures))
    parts, said = [], ""
    for title, found, text, shown in sections():
        here = machine_line(found)
        parts += [f"## {title}", text if here == said else f"{text}\nMedians, on {here}", *shown]
        said = here
    replace(Path("docs/benchmarks.md"), "\n\n".join(parts))
    usual = [sample for sample in samples("macro.jsonl") if small(sample)]
    if usual:
        most = max(sample["rows"] for sample in usual)
        rows = [
            (operation, protocol, told(group, ".1f", "wall_seconds"), *(told(group, ".1f", key, unit=1e6) for key in MOVED))
            for (operation, protocol, count), group in grouped(usual, "operation", "protocol", "rows").items()
            if count == most
        ]
        head = (f"{most:,} keys a side, two parties on one machine", "protocol", "wall s", "MB sent", "MB received")
        for name in ("README.md", "README.zh-CN.md"):
            replace(Path(name), f"{machine_line(usual)}\n\n{table(head, rows)}")


if __name__ == "__main__":
    main()
