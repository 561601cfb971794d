"""The running system, through its front."""

import os
import urllib.request

URL = os.environ["COUNTERSIGN_URL_WEB"] + "/cgi-bin/visit?"


def get(query):
    with urllib.request.urlopen(URL + query, timeout=20) as answer:
        assert answer.status == 200
        return answer.read().decode().split()


def test_a_visit_is_kept():
    get("visit-one")
    assert "visit-one" in get("list")


def test_versions_are_shown():
    serial = os.environ["COUNTERSIGN_SERIAL"]
    assert get("visit-two") == [serial, serial]
