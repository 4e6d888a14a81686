"""Two who have the same key make sure of each other, before anything is unpickled.

Each challenges the other with random bytes, and expects their message authentication code (HMAC)
by the key. The listener challenges first. Nothing longer than ``LONGEST_MESSAGE`` is read.

There are two protocols, and peers of both kinds in use:

- Since Python 3.12: a challenge begins with the name of a digest in braces, an answer does so, too,
  and the code is one of the whole challenge, name included. SHA-256 unless told otherwise.
- Before: 20 random bytes, answered by a bare HMAC-MD5 of 16 bytes.

As Python 3.12 does, we challenge in the newer way only, and answer each challenge in its own; an
older peer takes the name for random bytes and answers with a bare HMAC-MD5 of all, which is
accepted. That is no weakness of use to anybody: HMAC does not need a digest without collisions, and
the answer holds for this challenge only. Between two of ours it is always SHA-256.
"""

from __future__ import annotations

import contextlib
import os
from typing import Protocol

from procession.errors import AuthenticationError

CHALLENGE = b"#CHALLENGE#"
WELCOME = b"#WELCOME#"
FAILURE = b"#FAILURE#"

MESSAGE_LENGTH = 40
"""Random bytes in a challenge of ours: more than in the older protocol, to tell them apart."""

LONGEST_MESSAGE = 256
"""Bytes. A longer message is refused before it is read."""

_OLDER_CHALLENGE = 20
_OLDER_ANSWER = 16
_DIGESTS = frozenset({"md5", "sha256", "sha384", "sha3_256", "sha3_384"})
_LONGEST_NAME = max(map(len, _DIGESTS))


class Channel(Protocol):
    """What the handshake needs of a connection."""

    def send_bytes(self, buf: bytes, /) -> None:
        """Send one message."""

    def recv_bytes(self, maxlength: int, /) -> bytes:
        """Receive one message, if it is not longer."""


def deliver_challenge(connection: Channel, authkey: bytes, digest_name: str = "sha256") -> None:
    """Have the other side prove that it has the key.

    Args:
        connection: the two are connected by it.
        authkey: the key.
        digest_name: proposed to the other side.

    Raises:
        AuthenticationError: it has not the key, or does not speak the protocol.
        ValueError: the key is no bytes.
        EOFError: the other side has gone.
        OSError: the same; or it has sent something too long.
    """
    _check_key(authkey)
    challenge = b"{%s}%s" % (digest_name.encode(), os.urandom(MESSAGE_LENGTH))
    connection.send_bytes(CHALLENGE + challenge)
    answer = connection.recv_bytes(LONGEST_MESSAGE)
    try:
        _check_answer(authkey, challenge, answer)
    except AuthenticationError:
        with contextlib.suppress(OSError):  # it has not waited for our opinion
            connection.send_bytes(FAILURE)
        raise
    connection.send_bytes(WELCOME)


def answer_challenge(connection: Channel, authkey: bytes) -> None:
    """Prove to the other side that this one has the key. Arguments and errors as above.

    Raises:
        AuthenticationError: the other side has another key, or does not speak the protocol.
    """
    _check_key(authkey)
    message = connection.recv_bytes(LONGEST_MESSAGE)
    if not message.startswith(CHALLENGE):
        raise AuthenticationError(
            f"the other side does not speak our protocol: a challenge was expected, and not "
            f"{message[:60]!r}"
        )
    challenge = message[len(CHALLENGE) :]
    if len(challenge) < _OLDER_CHALLENGE:
        raise AuthenticationError(f"challenge too short: {len(challenge)} bytes")
    connection.send_bytes(_answer(authkey, challenge))
    if connection.recv_bytes(LONGEST_MESSAGE) != WELCOME:
        raise AuthenticationError("digest sent was rejected")


def _check_key(authkey: bytes) -> None:
    if not isinstance(authkey, bytes):
        raise ValueError(f"Authkey must be bytes, not {type(authkey)}")


def _answer(authkey: bytes, challenge: bytes) -> bytes:
    if len(challenge) == _OLDER_CHALLENGE:
        with contextlib.suppress(AuthenticationError):
            return _code(authkey, challenge, "md5")
        # Where MD5 is switched off, a newer peer will still understand this.
        name = "sha256"
    else:
        name, _ = _split(challenge)
    return b"{%s}%s" % (name.encode(), _code(authkey, challenge, name))


def _check_answer(authkey: bytes, challenge: bytes, answer: bytes) -> None:
    if len(answer) == _OLDER_ANSWER:
        name, code = "md5", answer
    else:
        name, code = _split(answer)
    expected = _code(authkey, challenge, name)
    if len(expected) != len(code):
        raise AuthenticationError(f"expected {name!r} of length {len(expected)} got {len(code)}")
    import hmac

    if not hmac.compare_digest(expected, code):
        raise AuthenticationError("digest received was wrong")


def _split(message: bytes) -> tuple[str, bytes]:
    """The name of the digest in front, and the rest."""
    end = message.find(b"}", 1, _LONGEST_NAME + 2)
    name = message[1:end].decode("ascii", "replace")
    if not message.startswith(b"{") or end < 0 or name not in _DIGESTS:
        raise AuthenticationError(
            "unsupported message length, missing digest prefix, or unsupported digest: "
            f"{message[:60]!r}"
        )
    return name, message[end + 1 :]


def _code(authkey: bytes, message: bytes, name: str) -> bytes:
    import hmac

    try:
        return hmac.new(authkey, message, name).digest()
    except ValueError:
        raise AuthenticationError(
            f"the other side uses a digest that this system is without: {name}"
        ) from None
