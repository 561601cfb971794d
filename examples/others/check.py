#!/usr/bin/env python3
"""Checks exported statements with libraries that have nothing to do with Countersign.

    python3 -m venv venv && venv/bin/pip install -r scripts/others.txt
    venv/bin/python examples/others/check.py FOLDER

FOLDER is what `countersign attestations` writes. Of each `*.dsse.json`: securesystemslib reads the DSSE envelope,
in-toto-attestation the statement; if `keys/<key id>.pem` is there, the signature is raw Ed25519 and securesystemslib
verifies it, and refuses it with one changed byte. Of each `*.sigstore.json`: sigstore-models reads the bundle, and
cryptography verifies its only signature. Verdicts are SLSA verification summaries, and go through the seven steps of
that specification. What people sign is SSHSIG, which is for ssh-keygen and not for these libraries.

It knows nothing of charters: which key may say what, and whether a statement is in the log, is not checked here.
"""

import base64
import json
import pathlib
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_public_key,
)
from google.protobuf import json_format
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import SSlibKey
from sigstore_models.bundle.v1 import Bundle

PAYLOAD_TYPE = "application/vnd.in-toto+json"
VSA = "https://slsa.dev/verification_summary/v1"
# What whoever relies on a verdict expects of it: who verified, and to what.
VERIFIER = "https://countersign.dev/gate"
LEVEL = "COUNTERSIGN_RELEASE"


class Wrong(Exception):
    """A file that does not hold up."""


def keys_of(folder):
    """The raw Ed25519 keys in the folder, by their id, which is the name of the file."""
    keys = {}
    for path in sorted((folder / "keys").glob("*.pem")):
        key = load_pem_public_key(path.read_bytes())
        if not isinstance(key, Ed25519PublicKey):
            raise Wrong(f"{path} is not an Ed25519 key")
        keys["sha256:" + path.stem] = key
    return keys


def sslib(keyid, key):
    raw = key.public_bytes(Encoding.Raw, PublicFormat.Raw).hex()
    return SSlibKey(keyid, "ed25519", "ed25519", {"public": raw})


def verifies(envelope, key):
    """One signature of one key, by securesystemslib."""
    try:
        return list(envelope.verify([key], 1)) == [key.keyid]
    except VerificationError:
        return False


def statement_of(payload):
    """The in-toto statement in a payload, by in-toto-attestation."""
    message = json_format.Parse(payload, statement_pb2.Statement())
    Statement.copy_from_pb(message).validate()
    return message


def summary_holds(document, release, resource):
    """Steps 2 to 7 of SLSA's "How to verify" a verification summary; step 1 is the signature."""
    predicate = document["predicate"]
    return all(
        [
            any(s["digest"].get("sha256") == release for s in document["subject"]),
            document["predicateType"] == VSA,
            predicate["verifier"]["id"] == VERIFIER,
            predicate["resourceUri"] == resource,
            predicate["verificationResult"] == "PASSED",
            LEVEL in predicate["verifiedLevels"],
        ]
    )


def main(folder):
    keys = keys_of(folder)
    verified = refused = statements = bundles = passed = failed = people = 0
    for path in sorted(folder.glob("*.dsse.json")):
        envelope = Envelope.from_dict(json.loads(path.read_bytes()))
        if envelope.payload_type != PAYLOAD_TYPE or len(envelope.signatures) != 1:
            raise Wrong(f"{path}: not one signature over an in-toto statement")
        statement_of(envelope.payload)
        statements += 1
        document = json.loads(envelope.payload)
        (keyid,) = envelope.signatures
        if keyid not in keys:
            people += 1
            continue
        key = sslib(keyid, keys[keyid])
        if not verifies(envelope, key):
            raise Wrong(f"{path}: not verified")
        verified += 1
        changed = bytearray(envelope.payload)
        changed[len(changed) // 2] ^= 1
        if verifies(Envelope(bytes(changed), PAYLOAD_TYPE, envelope.signatures), key):
            raise Wrong(f"{path}: verified with a changed byte")
        refused += 1
        if document["predicateType"] == VSA:
            decision = document["predicate"]["countersign_decision"]
            release = decision["release"].removeprefix("sha256:")
            system = decision["serial"].rpartition("-")[0]
            resource = f"countersign:{system}/{decision['environment']}/{decision['serial']}"
            holds = summary_holds(document, release, resource)
            if holds != ("granted" in decision["ruling"]):
                raise Wrong(f"{path}: the summary and the decision differ")
            # A summary of something else does not do for this, nor one from somebody else.
            if summary_holds(document, "00" * 32, resource) or summary_holds(document, release, "other"):
                raise Wrong(f"{path}: accepted for something else")
            passed, failed = passed + holds, failed + (not holds)
    for path in sorted(folder.glob("*.sigstore.json")):
        bundle = Bundle.from_json(path.read_bytes())
        envelope = bundle.dsse_envelope
        if envelope is None or len(envelope.signatures) != 1:
            raise Wrong(f"{path}: not one envelope with one signature")
        hint = bundle.verification_material.public_key.hint
        if hint not in keys:
            continue
        kind, payload = envelope.payload_type.encode(), envelope.payload
        signed = b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)
        try:
            keys[hint].verify(envelope.signatures[0].sig, signed)
        except InvalidSignature:
            raise Wrong(f"{path}: not verified") from None
        beside = folder / (path.name.removesuffix(".sigstore.json") + ".dsse.json")
        if json.loads(beside.read_bytes())["payload"] != base64.b64encode(payload).decode():
            raise Wrong(f"{path}: the payload is not that of {beside.name}")
        bundles += 1
    print(f"in-toto-attestation: {statements} statements")
    print(f"securesystemslib: {verified} envelopes verified, {refused} refused with a changed byte")
    print(f"sigstore-models, cryptography: {bundles} bundles verified")
    print(f"SLSA verification summaries: {passed} pass all seven steps, {failed} are refused")
    if people:
        print(f"{people} statements are of keys without a .pem here: people's, for ssh-keygen -Y verify")
    if statements == 0:
        raise Wrong(f"no *.dsse.json in {folder}")


if __name__ == "__main__":
    try:
        main(pathlib.Path(sys.argv[1]))
    except Wrong as wrong:
        sys.exit(f"check.py: {wrong}")
