"""One party of OpenMined's PSI: ``python openmined_party.py RANK STRUCTURE IN.csv OUT.csv HOST:PORT,HOST:PORT TLS``.

The library makes and reads messages and leaves their transport to its user; here they go over one connection of mutual TLS,
each after its length. Rank 0 is its client: it tells how many items it has, asks, and writes its rows that match. Rank 1, its
server, prepares its items (as STRUCTURE, a name of the library's) while the client prepares its request. TLS is the folder
of the certificates. Prints one JSON line with the result's size. It imports nothing of psc.
"""

import csv
import json
import socket
import ssl
import struct
import sys
import time
from importlib.metadata import version
from pathlib import Path

import private_set_intersection.python as psi

FALSE_POSITIVES = 1e-12
"""How likely a wrong match is to be among the answers, for the structures that have them; RAW has none."""


def send(peer: ssl.SSLSocket, message: bytes) -> None:
    """Send a message after its length."""
    peer.sendall(struct.pack("!Q", len(message)))
    peer.sendall(message)


def receive(peer: ssl.SSLSocket) -> bytes:
    """Return the next message."""

    def exactly(count: int) -> bytes:
        found = bytearray()
        while len(found) < count:
            part = peer.recv(min(count - len(found), 1 << 20))
            if not part:
                raise ConnectionError("the peer left")
            found += part
        return bytes(found)

    return exactly(struct.unpack("!Q", exactly(8))[0])


def connected(rank: int, addresses: str, tls: str) -> ssl.SSLSocket:
    """Return the connection of both parties: rank 0 connects, rank 1 is connected to."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if rank else ssl.PROTOCOL_TLS_CLIENT)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(f"{tls}/ca.pem")
    context.load_cert_chain(f"{tls}/party{rank}.pem", f"{tls}/party{rank}.key")
    host, _, port = addresses.split(",")[1].partition(":")
    if rank:
        with socket.create_server((host, int(port))) as server:
            return context.wrap_socket(server.accept()[0], server_side=True)
    for _ in range(1000):
        try:
            return context.wrap_socket(socket.create_connection((host, int(port))), server_hostname=host)
        except ConnectionRefusedError:
            time.sleep(0.02)
    raise ConnectionError("the peer does not answer")


def main() -> None:
    """Run one party from the command line."""
    rank, structure, source, output, addresses, tls = sys.argv[1:]
    with Path(source).open(newline="") as file:
        head, *rows = csv.reader(file)
    column = head.index("phone")
    items = [row[column] for row in rows]
    with connected(int(rank), addresses, tls) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if rank == "1":
            server = psi.server.CreateWithNewKey(True)
            count = int.from_bytes(receive(peer), "big")
            setup = server.CreateSetupMessage(FALSE_POSITIVES, count, items, psi.DataStructure[structure])
            send(peer, setup.SerializeToString())
            request = psi.Request()
            request.ParseFromString(receive(peer))
            send(peer, server.ProcessRequest(request).SerializeToString())
            matched = None
        else:
            send(peer, len(items).to_bytes(8, "big"))
            client = psi.client.CreateWithNewKey(True)
            request = client.CreateRequest(items)
            setup, response = psi.ServerSetup(), psi.Response()
            setup.ParseFromString(receive(peer))
            send(peer, request.SerializeToString())
            response.ParseFromString(receive(peer))
            found = sorted(client.GetIntersection(setup, response))
            with Path(output).open("w", newline="") as file:
                csv.writer(file).writerows([head, *(rows[at] for at in found)])
            matched = len(found)
    print("RESULT " + json.dumps({"matched": matched, "version": version("openmined_psi")}), flush=True)


if __name__ == "__main__":
    main()
