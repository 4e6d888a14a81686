"""Listeners and their clients, without keys: addresses, and what they leave behind."""

from __future__ import annotations

import multiprocessing.connection
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

import procession
from procession import connection
from procession._transport import listening
from procession.connection import Client, Listener
from tests.plugins.scripts import RunScript

FAMILIES = ["AF_UNIX", "AF_INET"]


def meet(listener: Any, client: Any = Client) -> tuple[Any, Any]:
    """What the listener accepts, and the client's end."""
    there = client(listener.address)
    return listener.accept(), there


def speak(here: Any, there: Any) -> None:
    """Messages go both ways."""
    with here, there:
        for one, other in ((here, there), (there, here)):
            one.send("hello")
            assert other.recv() == "hello"
            one.send_bytes(b"")
            assert other.recv_bytes() == b""


@pytest.mark.parametrize("family", FAMILIES)
def test_they_meet(connections: Any, family: str) -> None:
    with connections.Listener(family=family) as listener:
        assert connections.address_type(listener.address) == family
        assert listener.last_accepted is None
        speak(*meet(listener, connections.Client))
        assert listener.last_accepted is not None
        speak(*meet(listener, connections.Client))
        address = listener.address
    with pytest.raises(OSError, match="^listener is closed$"):
        listener.accept()
    listener.close()
    with pytest.raises(OSError, match="refused|No such file"):
        connections.Client(address)


def test_the_family_is_told_by_the_address(connections: Any, tmp_path: Path) -> None:
    os.chdir(tmp_path)
    for address in (("localhost", 0), ("127.0.0.1", 0), "here.socket", f"\0{tmp_path}"):
        with connections.Listener(address) as listener:
            speak(*meet(listener, connections.Client))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("address", "family"),
    [
        (("localhost", 80), "AF_INET"),
        ("/tmp/socket", "AF_UNIX"),
        ("\0name", "AF_UNIX"),
        (b"\0name", "AF_UNIX"),
        (r"\\.\pipe\name", "AF_PIPE"),
    ],
)
def test_families(connections: Any, address: Any, family: str) -> None:
    assert connections.address_type(address) == family


@pytest.mark.parametrize("address", [b"/tmp/socket", 5, None, ["localhost", 0]])
def test_what_is_no_address_is_refused(connections: Any, address: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="^address type of .* unrecognized$"):
        connections.Client(address)
    with pytest.raises(ValueError, match="^unrecognized family$"):
        connections.arbitrary_address("AF_NONE")


def test_what_other_systems_have_is_refused(connections: Any) -> None:
    for make in (connections.Client, connections.Listener):
        with pytest.raises(ValueError, match="^Family AF_PIPE is not recognized.$"):
            make(r"\\.\test")


def test_addresses_of_version_six() -> None:
    assert connection.address_type(("::1", 0)) == "AF_INET6"
    assert connection.address_type(("::1", 0, 0, 0)) == "AF_INET6"
    try:
        listener = Listener(("::1", 0))
    except OSError as error:
        pytest.skip(f"this machine has no such address: {error}")
    with listener:
        speak(*meet(listener))
    with Listener(family="AF_INET6") as listener:
        speak(*meet(listener))


@pytest.mark.parametrize("family", FAMILIES)
def test_an_address_in_use_is_refused_and_stays_in_use(connections: Any, family: str) -> None:
    with connections.Listener(family=family) as listener:
        with pytest.raises(OSError, match="Address already in use"):
            connections.Listener(listener.address, family)
        speak(*meet(listener, connections.Client))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("ours_listens", [True, False])
def test_the_standard_library_is_understood(family: str, ours_listens: bool) -> None:
    sides: list[Any] = [connection, multiprocessing.connection]
    listens, calls = sides if ours_listens else reversed(sides)
    with listens.Listener(family=family) as listener:
        here, there = meet(listener, calls.Client)
        assert type(here) is not type(there)
        speak(here, there)


def test_the_others_that_call_wait_in_the_backlog() -> None:
    with Listener(backlog=3) as listener:
        clients = [Client(listener.address) for _ in range(3)]
        for client in clients:
            speak(listener.accept(), client)


def test_a_limit_to_the_waiting_can_be_set_on_the_socket() -> None:
    with Listener() as listener:
        assert listener._listener is not None
        listener._listener._socket.settimeout(0.001)
        with pytest.raises(TimeoutError):
            listener.accept()
        here, there = meet(listener)
        assert os.get_blocking(here.fileno())
        speak(here, there)


def test_a_default_for_sockets_changes_nothing() -> None:
    socket.setdefaulttimeout(0.001)
    try:
        with Listener() as listener:
            ends = [*meet(listener), *connection.Pipe()]
    finally:
        socket.setdefaulttimeout(None)
    for end in ends:
        assert os.get_blocking(end.fileno())
        end.close()


# What is left


def places(listener: Any) -> tuple[Path, Path]:
    """The socket of a listener that found an address for itself, and its directory."""
    path = Path(listener.address)
    return path, path.parent


def test_an_address_that_nobody_chose_is_private_and_removed() -> None:
    with Listener() as listener:
        path, directory = places(listener)
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        assert stat.S_ISSOCK(path.stat().st_mode)
    assert not directory.exists()
    assert not listening._made


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
def test_it_is_removed_with_a_listener_that_nobody_closes() -> None:
    listener = Listener()
    _, directory = places(listener)
    del listener
    assert not directory.exists()


def test_a_socket_that_somebody_removed_is_no_error(tmp_path: Path) -> None:
    with Listener(str(tmp_path / "socket")):
        (tmp_path / "socket").unlink()


def test_a_directory_with_a_long_name_is_done_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with Listener() as listener:
        speak(*meet(listener))
        _, directory = places(listener)
    assert not directory.exists()
    assert not [*long.iterdir()]


def test_a_listener_that_can_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="^authkey should be a byte string$"):
        Listener(str(tmp_path / "socket"), authkey="text")  # type: ignore[arg-type]
    with pytest.raises(OSError, match="path too long"):
        Listener(str(tmp_path / ("x" * 200)))
    with pytest.raises(TypeError):
        Listener(str(tmp_path / "socket"), backlog="many")  # type: ignore[arg-type]
    assert not [*tmp_path.iterdir()]


def test_a_copy_in_a_forked_process_removes_nothing() -> None:
    with Listener() as listener:
        path, _ = places(listener)

        def child() -> None:
            listener.close()
            assert path.exists()

        process = procession.get_context("fork").Process(target=child)
        process.start()
        process.join()
        assert process.exitcode == 0
        assert path.exists()
        speak(*meet(listener))


def test_a_forked_process_may_accept() -> None:
    with Listener() as listener:

        def child() -> None:
            with listener.accept() as accepted:
                accepted.send(accepted.recv())

        process = procession.get_context("fork").Process(target=child)
        process.start()
        with Client(listener.address) as client:
            client.send("hello")
            assert client.recv() == "hello"
        process.join()


LEFT = """
import sys, procession as mp
from procession.connection import Listener, arbitrary_address
def listen():
    global kept
    kept = Listener()
    print(kept.address, arbitrary_address("AF_UNIX"), flush=True)
if __name__ == "__main__":
    listen()
    child = mp.get_context(sys.argv[1]).Process(target=listen)
    child.start()
    child.join()
"""


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_nothing_is_left_at_the_end_of_a_process(run_script: RunScript, method: str) -> None:
    done = run_script(LEFT, method)
    assert done.stderr == ""
    paths = done.stdout.split()
    assert len({*paths}) == 4
    assert not [path for path in paths if Path(path).parent.exists()]


# XML


def test_plain_data_goes_as_xml(connections: Any) -> None:
    with connections.XmlListener() as listener:
        here, there = meet(listener, connections.XmlClient)
        here.send([1, "text", None, {"a": 1.5}])
        assert there.poll(None)
        assert there.recv() == [1, "text", None, {"a": 1.5}]
        with pytest.raises(TypeError):
            here.send(object)
        here.send_bytes(b"raw")
        assert there.recv_bytes() == b"raw"
        here.close()
        there.close()
