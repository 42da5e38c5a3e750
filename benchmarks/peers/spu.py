"""``psc match`` beside spu's: the same CSV files, CSV out, mutual TLS for both, in pairs: ``python -m benchmarks.peers.spu``.

``--protocol ecdh`` sets dh-psi beside spu's ECDH on Curve25519, ``rr22`` and ``kkrt`` set vole-psi beside these; spu has its
own defaults in everything. With ``--released 0 1`` psc runs twice in each pair: without released columns, which is what spu
does, and with one text column of the partner joined to each match, which spu's have no counterpart of.

``make bench-peers`` makes spu an environment of its own (``.venv-peers``) and runs this. Each pair runs psc, then spu, so
that the machine's drift hits both; the claim is the median of the ratios. Wall seconds are those of the whole command as
its user waits for it, the interpreter's start included; CPU seconds are both parties'. psc's server is started anew for
each run and before the clock, so nothing is cached; what it reads and normalises is inside the clock.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import resource
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.csv as pacsv
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.macro.runs import compile_package
from benchmarks.micro.crypto import machine
from psc.testing.companies import Companies
from psc.testing.nodes import free_port

PARTY = Path(__file__).with_name("spu_party.py")
PROTOCOLS = {"ecdh": "dh-psi", "rr22": "vole-psi", "kkrt": "vole-psi"}
"""What spu runs, and what psc runs beside it."""
LIMITS = ("--runs-per-day", 1000, "--max-input", 1 << 22)


def write_tables(folder: Path, rows: int) -> None:
    """Write two CSV files of ``rows`` distinct clean mobiles that share every second one."""
    phones = [f"1{30 + n % 10}{(n * 7919) % 10**8:08d}" for n in range(rows + rows // 2)]
    orders = pa.table({"phone": phones[:rows], "order": range(rows)})
    parcels = pa.table({"phone": phones[rows // 2 :], "status": ["signed"] * rows})
    pacsv.write_csv(orders, folder / "orders.csv")
    pacsv.write_csv(parcels, folder / "parcels.csv")


def write_certificates(folder: Path) -> None:
    """Write a P-256 authority and a certificate for each of two parties on the loopback address."""
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, key: Any, issuer: Any, signer: Any, *, authority: bool) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
        if not authority:
            builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName("127.0.0.1")]), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_key = ec.generate_private_key(ec.SECP256R1())
    root = issue("benchmark", root_key, None, root_key, authority=True)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for rank in (0, 1):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issue(f"party{rank}", key, root.subject, root_key, authority=False)
        (folder / f"party{rank}.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        (folder / f"party{rank}.key").write_bytes(pem)


def run_psc(companies: Companies, protocol: str, released: int) -> dict[str, Any]:
    """Run ``psc match`` once against a fresh server, with 0 or 1 released columns, and return its figures."""
    server = psutil.Process(companies.serve())
    before, mine = server.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    begin = time.perf_counter()
    options = ["--output", companies.folder / "psc.csv", "--force", "--json", "--unmask", "--protocol", protocol]
    options += ["--want", "status"] if released else []
    result = companies.ask("match", companies.folder / "orders.csv", "phone", *options).json()
    wall = time.perf_counter() - begin
    after, spent = server.cpu_times(), resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.user + after.system - before.user - before.system
    cpu += spent.ru_utime + spent.ru_stime - mine.ru_utime - mine.ru_stime
    companies.stop()
    return {"seconds": wall, "cpu_seconds": cpu, "matched": result["matched_keys"], "bytes": result["stats"]["bytes_received"]}


def run_spu(python: Path, folder: Path, protocol: str) -> dict[str, Any]:
    """Run both of spu's parties once and return their figures."""
    ports = f"{free_port()},{free_port()}"
    # Without the script's own folder in the path, where this module stands beside it under the name of the package.
    env = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONSAFEPATH": "1"}
    begin = time.perf_counter()
    parties = [
        subprocess.Popen(
            [python, PARTY, str(rank), protocol, folder / name, folder / f"spu{rank}.csv", ports, folder],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=env,
        )
        for rank, name in ((0, "orders.csv"), (1, "parcels.csv"))
    ]
    texts = [party.communicate(timeout=900)[0] for party in parties]
    wall = time.perf_counter() - begin
    lines = [line for text in texts for line in text.splitlines() if line.startswith("RESULT ")]
    if len(lines) != 2:
        raise RuntimeError("spu did not finish:\n" + "\n".join(text[-2000:] for text in texts))
    figures = [json.loads(line.removeprefix("RESULT ")) for line in lines]
    return {"seconds": wall, "cpu_seconds": sum(f["cpu_seconds"] for f in figures), "matched": figures[0]["matched"]}


def pair_of(companies: Companies, peer_python: Path, protocol: str, variants: list[int]) -> list[dict[str, Any]]:
    """Run psc once a variant, then spu once, and return the figures of each pair."""
    ours = {released: run_psc(companies, PROTOCOLS[protocol], released) for released in variants}
    theirs = run_spu(peer_python, companies.folder, f"PROTOCOL_{protocol.upper()}")
    found = []
    for released, own in ours.items():
        if own["matched"] != theirs["matched"]:
            raise RuntimeError(f"different answers: {own['matched']} and {theirs['matched']}")
        pair = {"protocol": PROTOCOLS[protocol], "released": released, "psc": own, "spu": theirs}
        pair |= {key: theirs[figure] / own[figure] for key, figure in (("ratio", "seconds"), ("cpu_ratio", "cpu_seconds"))}
        found.append(pair)
    return found


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1 << 20])
    parser.add_argument("--pairs", type=int, nargs="+", default=[5, 3], help="for each of --rows")
    parser.add_argument("--protocol", choices=PROTOCOLS, nargs="+", default=["ecdh", "rr22"], help="what spu runs")
    parser.add_argument("--released", type=int, choices=(0, 1), nargs="+", default=[0, 1], help="columns that psc releases")
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    compile_package()  # spu's were by pip
    for rows, pairs in zip(options.rows, options.pairs, strict=True):
        with tempfile.TemporaryDirectory() as name, Companies(Path(name)) as companies:
            write_tables(companies.folder, rows)
            write_certificates(companies.folder)
            companies.found()
            key, release = "phone=phone:phone", ["status:text:16"]
            companies.grant(companies.folder / "parcels.csv", key, release, rows_per_key=1, options=LIMITS)
            for protocol in options.protocol:
                found: list[dict[str, Any]] = []
                for _ in range(pairs):
                    found += pair_of(companies, options.peer_python.absolute(), protocol, options.released)
                    for pair in found[-len(options.released) :]:
                        report(rows, protocol, pair, options.output)
                for released in options.released:
                    ratios = [(pair["ratio"], pair["cpu_ratio"]) for pair in found if pair["released"] == released]
                    wall, cpu = map(statistics.median, zip(*ratios, strict=True))
                    print(f"{rows:>9,}  {protocol}, {released} released, median of {pairs}: psc is {wall:.2f} x as fast", end="")
                    print(f" by the clock, {cpu:.2f} x by CPU", flush=True)


def report(rows: int, protocol: str, pair: dict[str, Any], output: Path | None) -> None:
    """Print a pair, and append it to a file."""
    ours, theirs = pair["psc"], pair["spu"]
    print(f"{rows:>9,}  {pair['protocol']}, {pair['released']} released: {ours['seconds']:6.2f} s,", end=" ")
    print(f"CPU {ours['cpu_seconds']:6.2f}   spu {protocol} {theirs['seconds']:6.2f} s,", end=" ")
    print(f"CPU {theirs['cpu_seconds']:6.2f}   ratio {pair['ratio']:.2f}", flush=True)
    if output is not None:
        line = {"benchmark": "peers.spu", "peer": f"PROTOCOL_{protocol.upper()}", "rows": rows, **machine(), **pair}
        with output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


if __name__ == "__main__":
    main()
