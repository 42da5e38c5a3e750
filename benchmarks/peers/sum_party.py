"""Other libraries' additive encryption, run by a Python that has them: ``python sum_party.py COUNT``.

For every line on standard input, one round: each library that can be imported encrypts COUNT values under a key made before,
adds them up and decrypts, and prints a JSON line; then an empty line. It imports nothing of psc.
"""

import json
import sys
import time
from collections.abc import Callable
from importlib.metadata import version


def phe(count: int) -> Callable[[], tuple[float, float, bool]]:
    """Paillier of phe, 2048 bits, with gmpy2."""
    from phe import paillier

    public, private = paillier.generate_paillier_keypair(n_length=2048)
    return lambda: timed(
        count, lambda values: [public.encrypt(value) for value in values], lambda all_: sum(all_[1:], all_[0]), private.decrypt
    )


def pypaillier(count: int) -> Callable[[], tuple[float, float, bool]]:
    """Paillier of pypaillier, 2048 bits, short exponents."""
    import paillier

    public, private = paillier.generate_keypair(2048)
    return lambda: timed(
        count,
        lambda values: paillier.encrypt_integers(public, values),
        lambda all_: paillier.add_many(public, [bytes(one) for one in all_]),
        lambda total: paillier.decrypt(private, total),
    )


def heu(count: int) -> Callable[[], tuple[float, float, bool]]:
    """OU of sf-heu, 2048 bits, a whole array at a time."""
    from heu import numpy as hnp
    from heu import phe as schemes

    kit = hnp.setup(schemes.SchemaType.OU, 2048)
    return lambda: timed(
        count,
        lambda values: kit.encryptor().encrypt(kit.array(values)),
        lambda all_: kit.evaluator().sum(all_),
        lambda total: int(str(kit.decryptor().decrypt(total))),
    )


def tenseal(count: int) -> Callable[[], tuple[float, float, bool]]:
    """BFV of TenSEAL, dimension 8192, 8192 values of at most 40 bits a ciphertext."""
    import tenseal as ts

    context = ts.context(ts.SCHEME_TYPE.BFV, poly_modulus_degree=8192, plain_modulus=1099511480321)
    size = 8192

    def encrypt(values: list[int]) -> list[object]:
        padded = values + [0] * (-len(values) % size)
        return [ts.bfv_vector(context, padded[at : at + size]) for at in range(0, len(padded), size)]

    def add(all_: list[object]) -> object:
        total = all_[0]
        for one in all_[1:]:
            total = total + one
        return total

    return lambda: timed(count, encrypt, add, lambda total: sum(total.decrypt()))


def timed(
    count: int, encrypt: Callable[..., object], add: Callable[..., object], decrypt: Callable[..., int]
) -> tuple[float, float, bool]:
    """Return the seconds of encryption by the wall and of the processor, and whether the sum was right."""
    values = [(number * 7919) % 1_000_000 for number in range(count)]
    started, used = time.perf_counter(), time.process_time()
    made = encrypt(values)
    seconds, cpu = time.perf_counter() - started, time.process_time() - used
    return seconds, cpu, int(decrypt(add(made))) == sum(values)


PEERS = {
    "phe, Paillier 2048": ("phe", phe, 1),
    "pypaillier, Paillier 2048": ("pypaillier", pypaillier, 4),
    "sf-heu, OU 2048": ("sf-heu", heu, 64),
    "TenSEAL, BFV 8192": ("tenseal", tenseal, 256),
}


def main() -> None:
    """Run rounds."""
    count = int(sys.argv[1])
    ready = {}
    for name, (package, make, times) in PEERS.items():
        try:
            ready[name] = (version(package), count * times, make(count * times))
        except ImportError as error:
            print(f"{name}: {error}", file=sys.stderr)
    for _ in sys.stdin:
        for name, (released, values, run) in ready.items():
            seconds, cpu, right = run()
            found = {"peer": name, "version": released, "values": values, "seconds": seconds, "cpu_seconds": cpu, "right": right}
            print(json.dumps(found), flush=True)
        print(flush=True)


if __name__ == "__main__":
    main()
