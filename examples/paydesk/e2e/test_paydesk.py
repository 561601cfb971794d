"""The running desk, through its web front, as its users meet it."""

import http.client
import json
import os
import re
import threading
import urllib.parse
import uuid

URL = urllib.parse.urlsplit(os.environ["COUNTERSIGN_URL_WEB"])
TIMEOUT_S = 20


def request(method, target, body=None, headers=None):
    connection = http.client.HTTPConnection(URL.hostname, URL.port, timeout=TIMEOUT_S)
    try:
        connection.request(method, target, body=body, headers=headers or {})
        response = connection.getresponse()
        return response.status, response.headers, response.read().decode()
    finally:
        connection.close()


def get(target):
    status, _, body = request("GET", target)
    assert status == 200, (target, status, body)
    return json.loads(body)


def pay(key, from_, to, amount, currency="EUR", **more):
    order = {"from": from_, "to": to, "amount": amount, "currency": currency, **more}
    status, _, body = request(
        "POST", "/payments", json.dumps(order), {"Content-Type": "application/json", "Idempotency-Key": key}
    )
    return status, json.loads(body)


def new_key():
    return "e2e-" + uuid.uuid4().hex


def new_account(name):
    return f"{name}-{uuid.uuid4().hex[:12]}"


def balance(account):
    return get(f"/balance?account={account}")["balances"].get("EUR", "0.00")


def test_health_names_the_version():
    health = get("/health")
    assert health["status"] == "ok"
    assert health["serial"]


def test_money_moves_between_accounts():
    alice, bob = new_account("alice"), new_account("bob")
    status, payment = pay(new_key(), "bank", alice, "100.00")
    assert status == 201
    assert (payment["from"], payment["to"], payment["amount"]) == ("bank", alice, "100.00")
    assert pay(new_key(), alice, bob, "30.25")[0] == 201
    assert balance(alice) == "69.75"
    assert balance(bob) == "30.25"


def test_a_key_pays_once():
    alice, key = new_account("alice"), new_key()
    status, first = pay(key, "bank", alice, "5.00")
    assert status == 201
    status, again = pay(key, "bank", alice, "5.00")
    assert status == 200
    assert again == first
    assert balance(alice) == "5.00"
    assert pay(key, "bank", alice, "6.00")[0] == 409
    assert get(f"/payments?key={key}")["payments"] == [first]


def test_a_key_pays_once_at_the_same_time():
    alice, key = new_account("alice"), new_key()
    statuses = []
    threads = [threading.Thread(target=lambda: statuses.append(pay(key, "bank", alice, "7.00")[0])) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(TIMEOUT_S)
    assert sorted(statuses) == [200] * 5 + [201]
    assert balance(alice) == "7.00"


def test_nobody_pays_what_they_have_not():
    alice, bob = new_account("alice"), new_account("bob")
    assert pay(new_key(), "bank", alice, "1.00")[0] == 201
    status, body = pay(new_key(), alice, bob, "1.01")
    assert status == 422
    assert alice in body["error"]
    assert (balance(alice), balance(bob)) == ("1.00", "0.00")


def test_bad_input_is_refused():
    alice = new_account("alice")
    assert pay(new_key(), "bank", alice, "0")[0] == 400
    assert pay(new_key(), "bank", alice, "-1")[0] == 400
    assert pay(new_key(), "bank", alice, "1.234")[0] == 400
    assert pay(new_key(), "bank", alice, 5)[0] == 400
    assert pay(new_key(), "bank", "Robert'); DROP", "1")[0] == 400
    assert pay(new_key(), "bank", alice, "1", currency="euro")[0] == 400
    assert pay("x", "bank", alice, "1")[0] == 400
    assert request("POST", "/payments", "{", {"Idempotency-Key": new_key()})[0] == 400
    assert request("POST", "/payments", "{}")[0] == 400
    assert request("GET", "/balance")[0] == 400
    assert request("GET", "/nothing")[0] == 404
    assert request("DELETE", "/payments")[0] == 405
    assert balance(alice) == "0.00"


def test_the_page_pays_and_shows_it():
    alice = new_account("alice")
    status, headers, page = request("GET", "/")
    assert status == 200
    assert headers["Content-Type"].startswith("text/html")
    assert get("/health")["serial"] in re.search("<footer>(.*)</footer>", page).group(1)
    key = re.search("name=key value=([^>]+)>", page).group(1)
    form = urllib.parse.urlencode({"key": key, "from": "bank", "to": alice, "amount": "12.34"})
    for _ in range(2):
        status, headers, _ = request("POST", "/pay", form, {"Content-Type": "application/x-www-form-urlencoded"})
        assert (status, headers["Location"]) == (303, "/")
    _, _, page = request("GET", "/")
    assert page.count(alice) == 1
    assert "12.34 EUR" in page
    assert balance(alice) == "12.34"


def test_the_page_shows_what_is_wrong():
    form = urllib.parse.urlencode({"key": new_key(), "from": "<script>", "to": "bank", "amount": "1"})
    status, _, page = request("POST", "/pay", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert status == 422
    assert "role=alert" in page
    assert "<script>" not in page


def test_the_books_balance():
    audit = get("/audit")
    assert audit["payments"] > 0
    assert audit["entries"] == 2 * audit["payments"]
    assert (audit["sum"], audit["duplicates"], audit["unbalanced"], audit["overdrawn"]) == (0, 0, 0, 0)
