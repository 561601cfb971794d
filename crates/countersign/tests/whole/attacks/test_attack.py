"""A suite that looks for what it must not find: it fails if it can do any of this."""

import os
import socket

import pytest

FOLDER = "@DIR@"


@pytest.mark.parametrize("path", [
    "keys/tester.key", "keys/gate.key", "identities.json", "secrets", "volumes", "test-secrets", "log/log.sqlite3",
    "run/agent/socket", "tester", "agent/stops",
])
def test_nothing_of_the_installation_can_be_read(path):
    with pytest.raises(OSError):
        whole = os.path.join(FOLDER, path)
        if os.path.isdir(whole):
            os.listdir(whole)
        else:
            open(whole, "rb").close()


@pytest.mark.parametrize("address", [("127.0.0.1", int("@FRONT@")), ("127.0.0.1", int("@WITNESS@")), ("192.0.2.1", 80)])
def test_nobody_but_the_system_can_be_reached(address):
    with pytest.raises(OSError):
        socket.create_connection(address, timeout=1).close()


@pytest.mark.parametrize("path", ["/etc/passwd", "/usr/bin/git", FOLDER + "/images/blobs/x", "/proc/sys/kernel/hostname"])
def test_nothing_outside_the_workspace_can_be_written(path):
    with pytest.raises(OSError):
        open(path, "a").close()


def test_the_environment_tells_no_secret():
    assert not [name for name in os.environ if "KEY" in name or "SECRET" in name or "TOKEN" in name or "SSH" in name]


def test_it_is_nobody_who_matters():
    assert os.getuid() != 0
    with pytest.raises(OSError):
        os.setuid(0)
