"""Who has the key is let in, and nobody else; nothing that comes over the wire stops a listener."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import multiprocessing.connection
import os
import pickle
import socket
import struct
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import procession
from procession import connection
from procession._transport import authentication, listening
from procession.connection import (
    CHALLENGE,
    FAILURE,
    MESSAGE_LENGTH,
    WELCOME,
    Client,
    Connection,
    Listener,
    answer_challenge,
    deliver_challenge,
)

KEY = b"the key"
FAMILIES = ["AF_UNIX", "AF_INET"]


Calling = Callable[..., Future[Any]]


class Scripted:
    """A connection whose other side says what was written down before."""

    def __init__(self, *says: bytes | Callable[[bytes], bytes]) -> None:
        self.says = [*says]
        self.heard: list[bytes] = []
        self.limits: list[int] = []

    def send_bytes(self, buf: bytes) -> None:
        self.heard.append(buf)

    def recv_bytes(self, maxlength: int) -> bytes:
        self.limits.append(maxlength)
        say = self.says.pop(0)
        return say if isinstance(say, bytes) else say(self.heard[-1])


def answer(digest: str, prefix: bytes = b"", key: bytes = KEY) -> Callable[[bytes], bytes]:
    """What somebody answers to a challenge."""

    def make(challenge: bytes) -> bytes:
        return prefix + hmac.new(key, challenge.removeprefix(CHALLENGE), digest).digest()

    return make


@pytest.fixture
def calling() -> Iterator[Calling]:
    """Calls in a thread."""
    with ThreadPoolExecutor(1) as executor:
        yield executor.submit


# The protocol


def test_our_challenge_is_for_sha256() -> None:
    peer = Scripted(answer("sha256", b"{sha256}"))
    deliver_challenge(peer, KEY)
    challenge, verdict = peer.heard
    assert challenge.startswith(CHALLENGE + b"{sha256}")
    assert len(challenge) == len(CHALLENGE) + len(b"{sha256}") + MESSAGE_LENGTH
    assert verdict == WELCOME
    other = Scripted(answer("sha256", b"{sha256}"))
    deliver_challenge(other, KEY)
    assert other.heard[0] != challenge


@pytest.mark.parametrize("digest", ["md5", "sha256", "sha384", "sha3_256", "sha3_384"])
def test_other_digests_are_understood(digest: str) -> None:
    prefix = b"{%s}" % digest.encode()
    peer = Scripted(answer(digest, prefix))
    deliver_challenge(peer, KEY)
    assert peer.heard[-1] == WELCOME
    challenge = prefix + os.urandom(40)
    peer = Scripted(CHALLENGE + challenge, WELCOME)
    answer_challenge(peer, KEY)
    assert peer.heard == [answer(digest, prefix)(challenge)]
    peer = Scripted(answer(digest, prefix))
    deliver_challenge(peer, KEY, digest)
    assert peer.heard[0].startswith(CHALLENGE + prefix)


def test_the_older_protocol_is_understood() -> None:
    peer = Scripted(answer("md5"))
    deliver_challenge(peer, KEY)
    assert peer.heard[-1] == WELCOME
    challenge = os.urandom(20)
    peer = Scripted(CHALLENGE + challenge, WELCOME)
    answer_challenge(peer, KEY)
    assert peer.heard == [hmac.new(KEY, challenge, "md5").digest()]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        (answer("sha256", b"{sha256}", b"other"), "^digest received was wrong$"),
        (answer("md5", key=b"other"), "^digest received was wrong$"),
        (b"{sha256}" + bytes(32), "^digest received was wrong$"),
        (b"{sha256}" + bytes(31), "^expected 'sha256' of length 32 got 31$"),
        (b"{sha256}", "^expected 'sha256' of length 32 got 0$"),
        (answer("sha256"), "missing digest prefix"),
        (answer("sha1", b"{sha1}"), "unsupported digest"),
        (b"something bogus", "unsupported message length"),
        (b"{sha256", "unsupported message length"),
        (b"{" + bytes(200) + b"}", "unsupported message length"),
        (b"", "unsupported message length"),
    ],
)
def test_wrong_answers_are_rejected(said: bytes | Callable[[bytes], bytes], message: str) -> None:
    peer = Scripted(said)
    with pytest.raises(procession.AuthenticationError, match=message):
        deliver_challenge(peer, KEY)
    assert peer.heard[1:] == [FAILURE]
    assert peer.limits == [256]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ([b"hello"], "a challenge was expected, and not b'hello'"),
        ([CHALLENGE], "^challenge too short: 0 bytes$"),
        ([CHALLENGE + bytes(19)], "^challenge too short: 19 bytes$"),
        ([CHALLENGE + bytes(40)], "missing digest prefix"),
        ([CHALLENGE + b"{sha1}" + bytes(40)], "unsupported digest"),
        ([CHALLENGE + b"{sha256}" + bytes(40), FAILURE], "^digest sent was rejected$"),
        ([CHALLENGE + b"{sha256}" + bytes(40), b""], "^digest sent was rejected$"),
        ([CHALLENGE + bytes(20), b"something bogus"], "^digest sent was rejected$"),
    ],
)
def test_wrong_challenges_are_not_answered(said: list[bytes], message: str) -> None:
    peer = Scripted(*said)
    with pytest.raises(procession.AuthenticationError, match=message):
        answer_challenge(peer, KEY)
    assert len(peer.heard) == len(said) - 1
    assert {*peer.limits} == {256}


def test_keys_are_bytes(connections: Any) -> None:
    for function in (connections.deliver_challenge, connections.answer_challenge):
        with pytest.raises(ValueError, match="^Authkey must be bytes, not <class 'str'>$"):
            function(Scripted(), "text")
    makes: list[Any] = [Client, Listener]
    for make in makes:
        with pytest.raises(TypeError, match="^authkey should be a byte string$"):
            make("\0nobody", authkey="text")


def test_without_md5_the_newer_answer_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    new = hmac.new

    def without_md5(key: bytes, message: bytes, name: str) -> Any:
        if name == "md5":
            raise ValueError("[digital envelope routines] unsupported")
        return new(key, message, name)

    monkeypatch.setattr(hmac, "new", without_md5)
    challenge = bytes(20)
    peer = Scripted(CHALLENGE + challenge, WELCOME)
    answer_challenge(peer, KEY)
    assert peer.heard == [answer("sha256", b"{sha256}")(challenge)]
    with pytest.raises(procession.AuthenticationError, match="this system is without: md5"):
        deliver_challenge(Scripted(bytes(16)), KEY)


def test_the_newer_names_of_the_constants() -> None:
    module: Any = connection
    assert (module._CHALLENGE, module._WELCOME, module._FAILURE) == (CHALLENGE, WELCOME, FAILURE)
    assert hashlib.sha256().digest_size + len(b"{sha256}") < authentication.LONGEST_MESSAGE


# Listeners and clients


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("listens", ["ours", "theirs"])
@pytest.mark.parametrize("calls", ["ours", "theirs"])
def test_who_has_the_key_is_let_in(calling: Calling, family: str, listens: str, calls: str) -> None:
    sides: dict[str, Any] = {"ours": connection, "theirs": multiprocessing.connection}
    with sides[listens].Listener(family=family, authkey=KEY) as listener:
        client = calling(sides[calls].Client, listener.address, authkey=KEY)
        with listener.accept() as accepted:
            accepted.send("welcome")
            with client.result() as there:
                assert there.recv() == "welcome"


@pytest.mark.parametrize("calls", [connection, multiprocessing.connection])
def test_who_has_another_key_is_not(calling: Calling, calls: Any) -> None:
    with Listener(authkey=KEY) as listener:
        client = calling(calls.Client, listener.address, authkey=b"other")
        with pytest.raises(procession.AuthenticationError, match="^digest received was wrong$"):
            listener.accept()
    with pytest.raises(procession.AuthenticationError, match="^digest sent was rejected$"):
        client.result()


def test_an_empty_key_is_a_key(calling: Calling) -> None:
    with Listener(authkey=b"") as listener:
        client = calling(Client, listener.address, authkey=b"")
        listener.accept().close()
    client.result().close()


def test_our_two_sides_use_sha256(monkeypatch: pytest.MonkeyPatch, calling: Calling) -> None:
    used: list[str] = []
    code = authentication._code

    def noted(key: bytes, message: bytes, name: str) -> bytes:
        used.append(name)
        return code(key, message, name)

    monkeypatch.setattr(authentication, "_code", noted)
    with Listener(authkey=KEY) as listener:
        client = calling(Client, listener.address, authkey=KEY)
        listener.accept().close()
    client.result().close()
    assert used == ["sha256"] * 4


# Strangers


class Bomb:
    """Must never be unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return pytest.exit, ("unpickled what a stranger sent",)


def framed(body: bytes) -> bytes:
    """A message, as it goes over the wire."""
    return struct.pack("!i", len(body)) + body


def call_raw(listener: Listener, data: bytes, *, hang_up: bool = True) -> socket.socket:
    """A stranger, who has sent something; and is gone, or still there."""
    stranger = socket.socket(getattr(socket, connection.address_type(listener.address)))
    stranger.connect(listener.address)
    with contextlib.suppress(OSError):
        stranger.sendall(data)
    if hang_up:
        stranger.close()
    return stranger


def still_accepts(listener: Listener, calling: Calling) -> None:
    """Somebody who has the key is let in."""
    client = calling(Client, listener.address, authkey=KEY)
    with listener.accept() as accepted:
        accepted.send("welcome")
        with client.result() as there:
            assert there.recv() == "welcome"


HOSTILE = {
    "nothing": b"",
    "half a header": b"\0\0",
    "a header": struct.pack("!i", 40),
    "half a message": struct.pack("!i", 40) + b"{sha256}",
    "a negative length": struct.pack("!i", -7),
    "2 GiB": struct.pack("!i", 0x7FFFFFFF),
    "an endless length": struct.pack("!iQ", -1, (1 << 64) - 1),
    "a longer one than is read": framed(bytes(257)),
    "a pickle": framed(pickle.dumps(Bomb())),
    "an empty answer": framed(b""),
    "its own challenge": framed(CHALLENGE + b"{sha256}" + bytes(40)),
    "a welcome": framed(WELCOME),
    "a wrong answer": framed(b"{sha256}" + bytes(32)),
    "another protocol": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}
REFUSALS = (procession.AuthenticationError, EOFError, OSError)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("hang_up", [True, False])
@pytest.mark.parametrize("what", HOSTILE)
def test_a_stranger_gets_a_closed_connection(
    calling: Calling, monkeypatch: pytest.MonkeyPatch, family: str, what: str, hang_up: bool
) -> None:
    monkeypatch.setattr(listening, "PATIENCE", 0.02 if not hang_up else listening.PATIENCE)
    with Listener(family=family, authkey=KEY) as listener:
        with call_raw(listener, HOSTILE[what], hang_up=hang_up) as stranger:
            with pytest.raises(REFUSALS):
                listener.accept()
            if not hang_up:
                with contextlib.suppress(ConnectionResetError):
                    while stranger.recv(1000):
                        pass  # the challenge and a refusal, then the end
        monkeypatch.undo()
        still_accepts(listener, calling)


@pytest.mark.parametrize("data", [b"", b"\0\0", framed(b"")[:4] + b"\0", struct.pack("!i", 9)])
def test_a_silent_stranger_has_a_limited_time(
    calling: Calling, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    with Listener(authkey=KEY) as listener:
        monkeypatch.setattr(listening, "PATIENCE", 0.01)
        with (
            call_raw(listener, data, hang_up=False),
            pytest.raises(
                procession.AuthenticationError,
                match="did not prove within 0.01 seconds|unsupported message length",
            ),
        ):
            listener.accept()
        monkeypatch.undo()
        still_accepts(listener, calling)


@given(st.lists(st.binary(max_size=300), max_size=3), st.booleans())
def test_random_bytes_never_get_in(parts: list[bytes], are_messages: bool) -> None:
    data = b"".join(map(framed, parts) if are_messages else parts)
    with Listener(authkey=KEY) as listener:
        call_raw(listener, data)
        with pytest.raises(REFUSALS):
            listener.accept()


@given(st.lists(st.binary(max_size=300), max_size=3), st.booleans())
def test_random_bytes_never_convince_a_client(parts: list[bytes], are_messages: bool) -> None:
    data = b"".join(map(framed, parts) if are_messages else parts)
    with socket.socket(socket.AF_INET) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        found: list[BaseException] = []

        def call() -> None:
            try:
                Client(server.getsockname(), authkey=KEY)
            except BaseException as error:
                found.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        with server.accept()[0] as accepted:
            accepted.sendall(data)
        caller.join()
        assert isinstance(found[0], REFUSALS)


@given(st.binary(max_size=200), st.sampled_from(["recv_bytes", "recv_bytes_into"]))
def test_random_bytes_are_a_message_or_an_error(data: bytes, receive: str) -> None:
    near, far = socket.socketpair()
    far.sendall(data)
    far.close()
    arguments: list[Any] = [bytearray(100)] if receive == "recv_bytes_into" else []
    with Connection(near.detach()) as receiver:
        while True:
            try:
                getattr(receiver, receive)(*arguments)
            except (EOFError, OSError, procession.BufferTooShort) as error:
                if not isinstance(error, procession.BufferTooShort):
                    break


def test_memory_is_taken_for_what_comes_not_for_what_is_said() -> None:
    for header in (struct.pack("!i", 0x7FFFFFFF), struct.pack("!iQ", -1, 1 << 50)):
        near, far = socket.socketpair()
        far.sendall(header + bytes(100))
        far.close()
        tracemalloc.start()
        try:
            with pytest.raises(OSError, match="got end of file"), Connection(near.detach()) as conn:
                conn.recv_bytes()
            assert tracemalloc.get_traced_memory()[1] < 4 << 20
        finally:
            tracemalloc.stop()
