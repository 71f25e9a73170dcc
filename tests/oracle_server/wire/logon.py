"""Logon: the 12c password verifier, the server's half.

Neither side ever sends the password in clear: both prove that they can derive the same key from it. AES comes from
`cryptography`, which the driver under test needs anyway.
"""

import hashlib
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

VERIFIER_12C = 0x4815
VERIFIER_ROUNDS, SESSION_ROUNDS = 4096, 3


def _encrypt(key: bytes, plain: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
    return cipher.update(plain) + cipher.finalize()


def _decrypt(key: bytes, secret: bytes) -> bytes:
    cipher = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).decryptor()
    return cipher.update(secret) + cipher.finalize()


def _padded(plain: bytes) -> bytes:
    room = 16 - len(plain) % 16
    return plain + bytes((room,)) * room


def _hexed(value: bytes) -> str:
    return value.hex().upper()


@dataclass
class Verifier:
    """One logon: what is sent to the client, and whether its answer proves the password."""

    password: str
    salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    session_salt: bytes = field(default_factory=lambda: secrets.token_bytes(16))
    server_half: bytes = field(default_factory=lambda: secrets.token_bytes(32))

    def __post_init__(self) -> None:
        salted = self.salt + b"AUTH_PBKDF2_SPEEDY_KEY"
        key = hashlib.pbkdf2_hmac("sha512", self.password.encode(), salted, VERIFIER_ROUNDS, 64)
        self._hash = hashlib.sha512(key + self.salt).digest()[:32]

    def challenge(self) -> list[tuple[str, str, int]]:
        """Key, value and flags of each pair that the client gets first."""
        return [
            ("AUTH_SESSKEY", _hexed(_encrypt(self._hash, self.server_half)), 0),
            ("AUTH_VFR_DATA", _hexed(self.salt), VERIFIER_12C),
            ("AUTH_PBKDF2_CSK_SALT", _hexed(self.session_salt), 0),
            ("AUTH_PBKDF2_VGEN_COUNT", str(VERIFIER_ROUNDS), 0),
            ("AUTH_PBKDF2_SDER_COUNT", str(SESSION_ROUNDS), 0),
            ("AUTH_GLOBALLY_UNIQUE_DBID\x00", _hexed(hashlib.md5(b"oracle_server").digest()), 0),
        ]

    def proof(self, pairs: dict[str, str]) -> str | None:
        """AUTH_SVR_RESPONSE where the client knows the password, else None."""
        try:
            client_half = _decrypt(self._hash, bytes.fromhex(pairs["AUTH_SESSKEY"]))
            sent = bytes.fromhex(pairs["AUTH_PASSWORD"])
            both = _hexed(client_half[:32] + self.server_half[:32]).encode()
            combined = hashlib.pbkdf2_hmac("sha512", both, self.session_salt, SESSION_ROUNDS, 32)
            plain = _decrypt(combined, sent)
        except (KeyError, ValueError):
            return None
        if not plain or plain[16 : len(plain) - plain[-1]] != self.password.encode():
            return None
        return _hexed(_encrypt(combined, _padded(secrets.token_bytes(16) + b"SERVER_TO_CLIENT")))
