"""One party of spu's PSI: ``python spu_party.py RANK PROTOCOL IN.csv OUT.csv HOST:PORT,HOST:PORT TLS``.

TLS is the folder of the certificates. Prints one JSON line with the result's size. It imports nothing of psc.
"""

import json
import sys
from importlib.metadata import version

from spu import psi
from spu.libspu import link


def main() -> None:
    """Run one party from the command line."""
    rank, protocol, source, output, addresses, tls = sys.argv[1:]
    desc = link.Desc()
    desc.id = "psc-benchmark"
    for index, address in enumerate(addresses.split(",")):
        desc.add_party(f"party{index}", address)
    desc.recv_timeout_ms = desc.http_timeout_ms = 600_000
    desc.connect_retry_times, desc.connect_retry_interval_ms = 200, 50
    for options in (desc.client_ssl_opts, desc.server_ssl_opts):
        options.cert.certificate_path = f"{tls}/party{rank}.pem"
        options.cert.private_key_path = f"{tls}/party{rank}.key"
        options.verify.ca_file_path = f"{tls}/ca.pem"
        options.verify.verify_depth = 1
    desc.enable_ssl = True
    context = link.create_brpc(desc, int(rank))
    conf = psi.PsiProtocolConfig(
        protocol=psi.parse_protocol(protocol),
        ecdh_params=psi.EcdhParams(curve=psi.EllipticCurveType.CURVE_25519),
        receiver_rank=0,
        broadcast_result=False,
    )
    csv = psi.SourceType.SOURCE_TYPE_FILE_CSV
    config = psi.PsiExecuteConfig(
        protocol_conf=conf,
        input_params=psi.InputParams(type=csv, path=source, selected_keys=["phone"]),
        output_params=psi.OutputParams(type=csv, path=output, disable_alignment=True),
    )
    report = psi.psi_execute(config, context)
    print("RESULT " + json.dumps({"matched": report.intersection_count, "version": version("spu")}), flush=True)


if __name__ == "__main__":
    main()
