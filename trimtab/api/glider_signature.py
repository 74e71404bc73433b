"""Whether a wallet has signed the message of its enrolment.

EIP-191 over the 32 raw bytes, as Glider's page on enrolment asks; the arithmetic is eth-account's.
"""

import sys

from eth_account import Account
from eth_account.messages import encode_defunct
from eth_keys.exceptions import BadSignature

# Python's own limit again: a library below eth-account raises it a hundredfold when it is imported, and
# then a deeply nested JSON body overruns the stack and ends the process.
RECURSION_LIMIT = 1000
sys.setrecursionlimit(RECURSION_LIMIT)


def signed_by(address: str, message: str, *, signature: str) -> bool:
    """`message` is 64 hexadecimal digits, `signature` 65 bytes as 0x…, `address` lower-case."""
    signable = encode_defunct(primitive=bytes.fromhex(message))
    try:
        signer = Account.recover_message(signable, signature=signature)
    except (BadSignature, ValueError):
        return False
    return bool(signer.lower() == address)
