"""Writes the figures of the documents from the raw samples: ``python -m benchmarks.report``.

Reads ``benchmarks/results/{macro,peers,rlwe}.jsonl`` (``make bench`` and ``make bench-peers`` append to them) and replaces what
stands between the markers of ``docs/benchmarks.md`` and of both READMEs. Nothing there is typed by hand.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
    return dict(sorted(groups.items(), key=lambda entry: str(entry[0])))


def machine_line(found: Sequence[Sample]) -> str:
    """Say what the figures were measured on."""
    last = found[-1]
    wide = ", ".join(last["instructions"])
    return f"{last['processor']} (family/model {last['family_model']}), {last['cores']} cores, {wide}; Python {last['python']}."


def macro(found: Sequence[Sample]) -> str:
    """Return the table of whole runs."""
    head = ("operation, keys a side", "protocol", "runs", "wall s", "of it the run s", "plan said s", "CPU s, initiator")
    head += ("CPU s, responder", "peak MB, initiator", "peak MB, responder", "MB sent", "MB received", "plan said MB")
    rows = []
    for (operation, count), group in grouped(found, "operation", "rows").items():
        mega = [median(group, f"{side}_peak_rss_bytes") / 1e6 for side in ("initiator", "responder")]
        moved = [median(group, key) / 1e6 for key in ("bytes_sent", "bytes_received", "plan_bytes_received")]
        rows.append(
            (
                f"{operation}, {count:,}",
                f"{group[0]['protocol']}, {group[0]['model']}",
                str(len(group)),
                f"{median(group, 'wall_seconds'):.2f}",
                f"{median(group, 'run_seconds'):.2f}",
                f"{median(group, 'plan_seconds'):.2f}",
                f"{median(group, 'initiator_cpu_seconds'):.2f}",
                f"{median(group, 'responder_cpu_seconds'):.2f}",
                *(f"{value:,.0f}" for value in mega),
                *(f"{value:,.1f}" for value in moved),
            )
        )
    return table(head, rows)


def peers(found: Sequence[Sample]) -> str:
    """Return the table of paired runs beside a peer."""
    head = (
        "psc, spu, keys a side",
        "pairs",
        "psc s",
        "spu s",
        "spu / psc, clock",
        "least",
        "psc CPU s",
        "spu CPU s",
        "spu / psc, CPU",
    )
    rows = []
    # The first samples were all of dh-psi without released columns, and did not say so.
    named = [{"protocol": "dh-psi", "released": 0, **sample} for sample in found]
    for (protocol, peer, released, count), group in grouped(named, "protocol", "peer", "released", "rows").items():
        column = ", one column released" if released else ""
        rows.append(
            (
                f"`{protocol}`{column}, `{peer.removeprefix('PROTOCOL_')}`, {count:,}",
                str(len(group)),
                f"{median(group, 'psc', 'seconds'):.2f}",
                f"{median(group, 'spu', 'seconds'):.2f}",
                f"{median(group, 'ratio'):.2f}",
                f"{min(sample['ratio'] for sample in group):.2f}",
                f"{median(group, 'psc', 'cpu_seconds'):.2f}",
                f"{median(group, 'spu', 'cpu_seconds'):.2f}",
                f"{median(group, 'cpu_ratio'):.2f}",
            )
        )
    return table(head, rows)


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
    for (keys,), group in sorted(grouped(found, "keys").items()):
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


def main() -> None:
    """Write the figures from the command line."""
    whole, pairs, failures = samples("macro.jsonl"), samples("peers.jsonl"), samples("okvs_failure.jsonl")
    if failures:
        replace(Path("docs/protocols/vole-psi.md"), okvs(failures))
    parts = []
    if whole:
        parts += [
            "## Whole runs",
            "`psc match` (one released text column; one-sided: none), `count` and `aggregate` (three sums by ten groups),",
            "CSV in and out, against a served Parquet file, mutual TLS on the loopback interface; both parties share the cores.",
            "`wall` is the whole command, interpreter included.",
            f"Medians. {machine_line(whole)}\n",
            macro(whole),
        ]
    if pairs:
        parts += [
            "\n## Beside spu",
            "`psc match` by dh-psi beside spu 0.9.5 `PROTOCOL_ECDH` on Curve25519, and by vole-psi beside its `PROTOCOL_RR22`",
            "and `PROTOCOL_KKRT`: the same CSV files, CSV out, mutual TLS for both, in pairs, by one call; both parties on one",
            "machine. spu returns the matched keys; where a column is released, psc joins it to them too. In ECDH spu takes",
            "SHA-256 of an item as a point's u-coordinate, which lets the peer read one bit of each item; psc hashes to the",
            "group (RFC 9380, RFC 9496). Medians, of the ratios too.",
            f"{machine_line(pairs)}\n",
            peers(pairs),
        ]
    profiled = samples("shares.jsonl")
    if profiled:
        parts += [
            "\n## Where the CPU time goes",
            "Shares of the samples of both processes, from the plan to the written result, CSV in and out (`perf`).",
            f"{machine_line(profiled)}\n",
            shares(profiled),
        ]
    encrypted = samples("rlwe.jsonl")
    if encrypted:
        parts += [
            "\n## Packed encryption",
            "The encrypted leg of sums alone: 3 columns by 10 cells, 30 sums, all threads; and encryption a value by other",
            "libraries, in the same rounds.",
            "[packed-encryption.md](protocols/packed-encryption.md) has the kernels beside their bound.",
            f"Medians. {machine_line([encrypted[-1]['machine']])}\n",
            encryption(encrypted),
        ]
    replace(Path("docs/benchmarks.md"), "\n".join(parts))
    if whole:
        short = table(
            ("two parties on one machine", "wall s", "MB sent", "MB received"),
            [
                (
                    f"{operation} ({group[0]['protocol']}), {count:,} keys a side",
                    f"{median(group, 'wall_seconds'):.1f}",
                    f"{median(group, 'bytes_sent') / 1e6:.1f}",
                    f"{median(group, 'bytes_received') / 1e6:.1f}",
                )
                for (operation, count), group in grouped(whole, "operation", "rows").items()
            ],
        )
        for name in ("README.md", "README.zh-CN.md"):
            replace(Path(name), f"{machine_line(whole)}\n\n{short}")


if __name__ == "__main__":
    main()
