"""``psc match`` beside a peer: the same files, mutual TLS for both, in pairs by one call: ``python -m benchmarks.peers.pairs``.

``--peers ecdh`` sets dh-psi beside spu's ECDH on Curve25519, ``rr22`` and ``kkrt`` set vole-psi beside these of spu's;
``openmined`` sets dh-psi beside OpenMined's PSI (ECDH on P-256). A peer has its own defaults in everything, but OpenMined's
server sends its masked items raw: by its default, a Golomb-coded set, a match is right only with some probability.
With ``--released 0 1`` psc runs twice in each pair: without released columns, which is what the peers do, and with one text
column of the partner joined to each match, which they have no counterpart of. Peers read and write CSV; psc does so too, or
Parquet with ``--files parquet``.

``make bench-peers`` makes the peers an environment (``.venv-peers``) and runs this. Each pair runs psc, then the peer, so
that the machine's drift hits both; the claim is the median of the ratios. Wall seconds are those of the whole command as
its user waits for it, the interpreter's start included; CPU seconds are both parties'. psc's server is started anew for
each run and before the clock, so nothing is cached; what it reads and normalises is inside the clock.
"""

from __future__ import annotations

import argparse
import datetime
import ipaddress
import json
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.measure import Figures, MeasuredCompanies, append, compile_package, run_together
from benchmarks.tables import sizes_of, two_files
from psc.testing.nodes import free_port


class Peer(NamedTuple):
    """A peer's protocol: its name, the script beside this one that runs a party of it, and what psc runs beside it."""

    name: str
    script: str
    word: str
    protocol: str


PEERS = {
    "ecdh": Peer("spu ECDH", "spu_party.py", "PROTOCOL_ECDH", "dh-psi"),
    "rr22": Peer("spu RR22", "spu_party.py", "PROTOCOL_RR22", "vole-psi"),
    "kkrt": Peer("spu KKRT", "spu_party.py", "PROTOCOL_KKRT", "vole-psi"),
    "openmined": Peer("OpenMined PSI", "openmined_party.py", "RAW", "dh-psi"),
}
HOSTS = ("127.0.0.1", "127.0.0.1")
LIMITS = ("--runs-per-day", 1000, "--max-input", 1 << 25)


def write_certificates(folder: Path, hosts: Sequence[str] = HOSTS) -> None:
    """Write a P-256 authority and a certificate for each of two parties on their addresses."""
    now = datetime.datetime.now(datetime.UTC)

    def issue(name: str, key: Any, issuer: Any, signer: Any, *hosts: str) -> x509.Certificate:
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = x509.CertificateBuilder(issuer or subject, subject, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - datetime.timedelta(hours=1)).not_valid_after(now + datetime.timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(not hosts, None), critical=True)
        for host in hosts:
            names = [x509.DNSName(host), x509.IPAddress(ipaddress.ip_address(host))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(signer, hashes.SHA256())

    root_key = ec.generate_private_key(ec.SECP256R1())
    root = issue("benchmark", root_key, None, root_key)
    (folder / "ca.pem").write_bytes(root.public_bytes(serialization.Encoding.PEM))
    for rank, host in enumerate(hosts):
        key = ec.generate_private_key(ec.SECP256R1())
        leaf = issue(f"party{rank}", key, root.subject, root_key, host)
        (folder / f"party{rank}.pem").write_bytes(leaf.public_bytes(serialization.Encoding.PEM))
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
        )
        (folder / f"party{rank}.key").write_bytes(pem)


def run_psc(companies: MeasuredCompanies, protocol: str, released: int, kind: str) -> Figures:
    """Run ``psc match`` once against a fresh server, with 0 or 1 released columns, and return its figures."""
    companies.serve()
    options = ["--output", companies.folder / f"psc.{kind}", "--force", "--unmask", "--protocol", protocol]
    options += ["--want", "status"] if released else []
    figures = companies.measure("match", companies.folder / f"orders.{kind}", *options)
    companies.stop()
    return figures | {"cpu_seconds": figures["initiator_cpu_seconds"] + figures["responder_cpu_seconds"]}


def run_peer(
    python: Path, folder: Path, peer: Peer, hosts: Sequence[str] = HOSTS, within: Sequence[Sequence[str]] = ((), ())
) -> Figures:
    """Run both parties of a peer once, each ``within`` a command that takes its own as arguments, and return their figures."""
    addresses = ",".join(f"{host}:{free_port()}" for host in hosts)
    script = Path(__file__).with_name(peer.script)
    commands = [
        [*prefix, python, script, rank, peer.word, folder / f"{name}.csv", folder / f"peer{rank}.csv", addresses, folder]
        for rank, (name, prefix) in enumerate(zip(("orders", "parcels"), within, strict=True))
    ]
    wall, ended = run_together(commands, folder, {"PYTHONWARNINGS": "ignore"})
    told = [line for done, _ in ended for line in done.out.splitlines() if line.startswith("RESULT ")]
    if len(told) != 2:
        raise RuntimeError(f"{peer.name} did not finish:\n" + "\n".join((done.out + done.err)[-2000:] for done, _ in ended))
    (_, own), (_, other) = ended
    return {
        "wall_seconds": wall,
        "cpu_seconds": own.cpu_seconds + other.cpu_seconds,
        "initiator_cpu_seconds": own.cpu_seconds,
        "responder_cpu_seconds": other.cpu_seconds,
        "initiator_peak_rss_bytes": own.peak_rss_bytes,
        "responder_peak_rss_bytes": other.peak_rss_bytes,
        **json.loads(told[0].removeprefix("RESULT ")),
    }


def pair_of(companies: MeasuredCompanies, python: Path, peer: Peer, variants: Sequence[int], kind: str) -> list[Figures]:
    """Run psc once a variant, then the peer once, and return the figures of each pair."""
    ours = {released: run_psc(companies, peer.protocol, released, kind) for released in variants}
    theirs = run_peer(python, companies.folder, peer)
    found = []
    for released, own in ours.items():
        if own["matched"] != theirs["matched"]:
            raise RuntimeError(f"different answers: {own['matched']} and {theirs['matched']}")
        ratios = {key: theirs[figure] / own[figure] for key, figure in (("ratio", "wall_seconds"), ("cpu_ratio", "cpu_seconds"))}
        named = {"peer": peer.name, "version": theirs["version"], "protocol": peer.protocol, "released": released, "files": kind}
        found.append(named | {"psc": own, "theirs": theirs} | ratios)
    return found


def main() -> None:
    """Run the comparison from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--sizes", type=sizes_of, nargs="+", default=[(100_000,) * 2, (1 << 20,) * 2], help="N or NxM keys")
    parser.add_argument("--pairs", type=int, default=5, help="for each size")
    parser.add_argument("--peers", choices=PEERS, nargs="+", default=["ecdh", "rr22", "kkrt"])
    parser.add_argument("--released", type=int, choices=(0, 1), nargs="+", default=[0, 1], help="columns that psc releases")
    parser.add_argument("--files", choices=("csv", "parquet"), default="csv", help="what psc reads and writes")
    parser.add_argument("--peer-python", type=Path, default=Path(".venv-peers/bin/python"), help="a Python that has the peers")
    parser.add_argument("--output", type=Path)
    options = parser.parse_args()
    compile_package()  # the peers' were by pip
    for rows, partner_rows in options.sizes:
        with tempfile.TemporaryDirectory() as name, MeasuredCompanies(Path(name)) as companies:
            two_files(companies.folder, (rows, partner_rows), dict.fromkeys(("csv", options.files)), ("status",))
            write_certificates(companies.folder)
            companies.found()
            source, release = companies.folder / f"parcels.{options.files}", ["status:text:16"]
            companies.grant(source, "phone=phone:phone", release, rows_per_key=1, options=LIMITS)
            found: list[Figures] = []
            for _ in range(options.pairs):
                for peer in options.peers:
                    pairs = pair_of(companies, options.peer_python.absolute(), PEERS[peer], options.released, options.files)
                    for pair in pairs:
                        append(options.output, "peers", {"rows": rows, "partner_rows": partner_rows, **pair})
                        ours, theirs = pair["psc"], pair["theirs"]
                        print(f"{rows:,} x {partner_rows:,}  {pair['protocol']}, {pair['released']} released:", end=" ")
                        print(f"{ours['wall_seconds']:.2f} s, CPU {ours['cpu_seconds']:.2f}  {pair['peer']}:", end=" ")
                        print(
                            f"{theirs['wall_seconds']:.2f} s, CPU {theirs['cpu_seconds']:.2f}  ratio {pair['ratio']:.2f}",
                            flush=True,
                        )
                    found += pairs
            for key in dict.fromkeys((pair["peer"], pair["released"]) for pair in found):
                ratios = [(one["ratio"], one["cpu_ratio"]) for one in found if (one["peer"], one["released"]) == key]
                wall, cpu = map(statistics.median, zip(*ratios, strict=True))
                print(f"{rows:,} x {partner_rows:,}  {key[0]}, {key[1]} released, median of {len(ratios)}:", end=" ")
                print(f"psc is {wall:.2f} x as fast by the clock, {cpu:.2f} x by CPU", flush=True)


if __name__ == "__main__":
    main()
