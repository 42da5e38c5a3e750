"""A partner that knows only ``phe``: encrypts its values, waits for the sums, decrypts them.

Usage: python phe_partner.py VALUES.json REQUEST.json REPLY.json

VALUES.json is a list of integers, in cents for example. REQUEST.json is written for the other side (phe_matcher.py): the public
key and one ciphertext a value. Once the other side has written REPLY.json, the sums are printed as a JSON list. The key is
made for this one exchange and never leaves this process.
"""

import json
import sys
import time
from pathlib import Path

from phe import paillier


def main(values: str, request: str, reply: str) -> None:
    public_key, private_key = paillier.generate_paillier_keypair(n_length=2048)
    numbers = [public_key.encrypt(value) for value in json.loads(Path(values).read_text(encoding="utf-8"))]
    made = {"n": str(public_key.n), "values": [[str(number.ciphertext()), number.exponent] for number in numbers]}
    unfinished = Path(request + ".part")
    unfinished.write_text(json.dumps(made), encoding="utf-8")
    unfinished.rename(request)

    for _ in range(600):
        if Path(reply).exists():
            break
        time.sleep(0.1)
    answer = json.loads(Path(reply).read_text(encoding="utf-8"))

    modulus = 2 ** answer["visible_bits"]  # the other side hid everything above these bits of a sum
    sums = [private_key.raw_decrypt(int(ciphertext)) % modulus for ciphertext in answer["sums"]]
    print(json.dumps([value - modulus if value >= modulus // 2 else value for value in sums]))


if __name__ == "__main__":
    main(*sys.argv[1:4])
