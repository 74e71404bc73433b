"""Whether a wallet has signed the message of its enrolment.

EIP-191 over the 32 raw bytes, as Glider's page on enrolment asks; the arithmetic is that of eth-keys.
"""

from eth_keys.datatypes import Signature
from eth_keys.exceptions import BadSignature
from eth_utils.crypto import keccak

MESSAGE_BYTES = 32
# What is signed is never a transaction (EIP-191, version 0x45).
PREFIX = b"\x19Ethereum Signed Message:\n" + str(MESSAGE_BYTES).encode()
# The last byte says which of two keys has signed. Wallets add 27 to it, some do not.
RECOVERY_IDS = {0: 0, 1: 1, 27: 0, 28: 1}


def signed_by(address: str, message: str, *, signature: str) -> bool:
    """`message` is 64 hexadecimal digits, `signature` 65 bytes as 0x…, `address` lower-case."""
    signed = bytes.fromhex(signature.removeprefix("0x"))
    recovery_id = RECOVERY_IDS.get(signed[-1])
    if recovery_id is None:
        return False
    vrs = (recovery_id, int.from_bytes(signed[:32]), int.from_bytes(signed[32:64]))
    try:
        signer = Signature(vrs=vrs).recover_public_key_from_msg_hash(keccak(PREFIX + bytes.fromhex(message)))
    except BadSignature:
        return False
    return signer.to_address() == address
