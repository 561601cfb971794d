"""The guest book through its front, as visitors meet it."""

import http.client
import os
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

URL = urllib.parse.urlsplit(os.environ["COUNTERSIGN_URL_PAGE"])
TIMEOUT_S = 10


def get(target):
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", target)
        response = connection.getresponse()
        return response.status, response.read().decode()
    finally:
        connection.close()


def visit():
    status, text = get("/cgi-bin/visit")
    assert status == 200, text
    first, serial = text.splitlines()
    assert serial
    word, number = first.split()
    assert word == "visit"
    return int(number)


def test_the_page_is_there():
    status, page = get("/")
    assert status == 200
    assert "Guest book" in page


def test_other_pages_are_not():
    assert get("/nothing")[0] == 404
    assert get("/../bin/sh")[0] in (400, 404)


def test_each_visit_counts_once():
    first = visit()
    assert visit() == first + 1


def test_visits_at_the_same_time_are_all_counted():
    before = visit()
    with ThreadPoolExecutor(8) as threads:
        numbers = list(threads.map(lambda _: visit(), range(24)))
    assert sorted(numbers) == list(range(before + 1, before + 25))
