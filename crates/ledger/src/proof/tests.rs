use std::sync::LazyLock;

use model::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::{
    fixtures::{ORIGIN, log_of, log_signer, statement, witness_signer},
    follow::WitnessKey,
    log::Log,
    note::NoteSigner,
};

const SIZE: u64 = 70;

static LOG: LazyLock<Log> = LazyLock::new(|| log_of(SIZE).0);

fn witness() -> NoteSigner {
    witness_signer("w.example", 9)
}

fn policy(quorum: usize) -> WitnessPolicy {
    let key = |name, number, operator: &str| WitnessKey {
        vkey: witness_signer(name, number).vkey().clone(),
        operator: operator.to_owned(),
    };
    WitnessPolicy::new(vec![key("w.example", 9, "ann"), key("v.example", 10, "bob")], quorum).unwrap()
}

/// The proof of an entry, its checkpoint cosigned by one witness.
fn proof_of(index: u64, extra: Option<&[u8]>) -> Proof {
    let receipt = LOG.receipt(index).unwrap();
    let mut checkpoint = SignedCheckpoint::open(&receipt.checkpoint, LOG.vkey()).unwrap();
    checkpoint.add(witness().sign(checkpoint.note().text(), Timestamp::from_unix(1_000)).unwrap());
    Proof::new(index, receipt.proof, extra.map(<[u8]>::to_vec), checkpoint.to_bytes()).unwrap()
}

fn entry(index: u64) -> Vec<u8> {
    statement(index).canonical_bytes()
}

#[test]
fn every_entry_is_proven_by_its_file_and_no_other_entry_is() {
    for index in 0..SIZE {
        let proof = Proof::parse(&proof_of(index, None).to_bytes()).unwrap();
        assert_eq!(proof.index(), index);
        let checkpoint = proof.verify(&entry(index), LOG.vkey(), &policy(1)).unwrap();
        assert_eq!(checkpoint.size(), SIZE);
        let other = proof.verify(&entry((index + 1) % SIZE), LOG.vkey(), &policy(1)).unwrap_err();
        assert!(matches!(other, UnprovenError::Inclusion(_)), "{other}");
        assert_eq!(other.to_string(), "the proof does not lead from this entry to the checkpoint");
    }
    let plain = Proof::of_receipt(&LOG.receipt(3).unwrap()).unwrap();
    plain.verify(&entry(3), LOG.vkey(), &WitnessPolicy::unwitnessed()).unwrap();
}

#[test]
fn the_form_is_that_of_the_specification() {
    let text = proof_of(2, Some(b"age")).to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..3], ["c2sp.org/tlog-proof@v1", "extra YWdl", "index 2"]);
    let blank = lines.iter().position(|l| l.is_empty()).unwrap();
    assert_eq!(blank, 10, "seven hashes in a tree of 70");
    assert_eq!(lines[blank + 1], ORIGIN);
    assert_eq!(lines[blank + 2], "70");
    assert!(lines[blank + 5].starts_with(&format!("\u{2014} {ORIGIN} ")));
    assert!(lines[blank + 6].starts_with("\u{2014} w.example "));
    assert!(!proof_of(2, None).to_string().contains("extra"));
    let alone = log_of(1).0.receipt(0).unwrap();
    let alone = Proof::of_receipt(&alone).unwrap();
    assert!(alone.to_string().starts_with("c2sp.org/tlog-proof@v1\nindex 0\n\n"), "a tree of one needs no hash");
    alone.verify(&entry(0), LOG.vkey(), &WitnessPolicy::unwitnessed()).unwrap();
}

#[test]
fn what_is_not_a_proof_file() {
    let good = proof_of(2, Some(b"age")).to_string();
    let hash = good.lines().nth(3).unwrap();
    let refused = |text: &str| Proof::parse(text.as_bytes()).unwrap_err().to_string();
    let header = "the first line is not `c2sp.org/tlog-proof@v1`";
    let index = "there is no line `index` with a decimal number";
    let hashes = "the inclusion proof is not at most 63 lines of base64 hashes";
    let checkpoint = "there is no signed checkpoint after the blank line";
    let extra = "the extra data is not at most 65536 bytes in base64";
    let too_much = BASE64_STANDARD.encode(vec![0; EXTRA_LIMIT_BYTES + 1]);
    for (bad, why) in [
        (String::new(), header),
        (good.replace("@v1", "@v2"), header),
        (good.replace("@v1\n", "@v1\r\n"), header),
        (good.replace("index 2", "index 02"), index),
        (good.replace("index 2", "index +2"), index),
        (good.replace("index 2", "index -1"), index),
        (good.replace("index 2", "index 9223372036854775808"), index),
        (good.replace("index 2\n", ""), index),
        (good.replace("extra YWdl\nindex 2\n", "index 2\nextra YWdl\n"), hashes),
        (good.replace("YWdl", "YWdl="), extra),
        (good.replace("YWdl", &too_much), extra),
        (good.replace(hash, &hash[1..]), hashes),
        (good.replace(hash, &format!("{hash}\n").repeat(64)[..64 * 45 - 1]), hashes),
        (good.replace("\n\n", "\n"), checkpoint),
        (good.split("\n\n").take(2).collect::<Vec<_>>().join("\n\n"), checkpoint),
    ] {
        assert_eq!(refused(&bad), why, "{bad}");
    }
    assert!(refused(&"x".repeat(PROOF_LIMIT_BYTES + 1)).contains("more than"));
    assert_eq!(Proof::parse(&[0xff; 40]).unwrap_err(), ProofFileError::Header);
}

#[test]
fn witnesses_and_logs_count_as_the_policy_says() {
    let proof = proof_of(5, None);
    let few = proof.verify(&entry(5), LOG.vkey(), &policy(2)).unwrap_err();
    assert_eq!(few.to_string(), "the checkpoint of the proof is not witnessed as it must be");
    let stranger = NoteSigner::new(
        "other.example",
        crate::note::NoteKeyType::Ed25519,
        std::sync::Arc::new(crate::fixtures::key(crate::keys::Scheme::Ed25519, 77)),
    );
    let other = proof.verify(&entry(5), stranger.unwrap().vkey(), &policy(1)).unwrap_err();
    assert_eq!(other.to_string(), "the checkpoint of the proof is not the log's");
    let file =
        |quorum| TlogPolicy::of(log_signer().vkey().clone(), None, &policy(quorum), &std::collections::BTreeMap::new());
    proof.verify_under(&entry(5), &file(1)).unwrap();
    let few = proof.verify_under(&entry(5), &file(2)).unwrap_err();
    assert_eq!(few.to_string(), "the checkpoint of the proof does not satisfy the policy");
    assert!(matches!(proof.verify_under(&entry(6), &file(1)), Err(UnprovenError::Inclusion(_))));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// Both ways: what is written is parsed to the same, and every file that parses is written back as it was.
    #[test]
    fn files_and_proofs_are_one_to_one(index in 0..SIZE, extra in proptest::option::of(proptest::collection::vec(any::<u8>(), 0..90))) {
        let proof = proof_of(index, extra.as_deref());
        let bytes = proof.to_bytes();
        let again = Proof::parse(&bytes).unwrap();
        prop_assert_eq!(&again, &proof);
        prop_assert_eq!(again.extra(), extra.as_deref());
        prop_assert_eq!(again.to_bytes(), bytes);
    }

    /// A changed byte is refused, or it is in the extra data, which nobody vouches for, or in a line that says nothing
    /// about this log: a signature of a key that nobody asked for.
    #[test]
    fn a_changed_byte_proves_nothing(index in 0..SIZE, at in 0..1_400_usize, bit in 0..8_u32) {
        let proof = proof_of(index, Some(b"extra data"));
        let mut bytes = proof.to_bytes();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        if let Ok(changed) = Proof::parse(&bytes) {
            prop_assert_eq!(changed.to_bytes(), bytes, "what parses is written back");
            if changed.extra() == proof.extra() {
                prop_assert!(changed.verify(&entry(index), LOG.vkey(), &policy(1)).is_err(), "byte {}", at);
            } else {
                prop_assert!(changed.verify(&entry(index), LOG.vkey(), &policy(1)).is_ok());
            }
        }
    }

    #[test]
    fn any_bytes_are_refused_or_written_back(bytes in proptest::collection::vec(any::<u8>(), 0..300), text in "c2sp.org/tlog-proof@v1\n(extra [A-Za-z0-9+/=]{0,12}\n)?index [0-9]{1,20}\n([A-Za-z0-9+/]{43}=\n){0,3}\n\\PC{1,20}\n\n\u{2014} [a-z]{1,9} [A-Za-z0-9+/]{8}\n") {
        prop_assert!(Proof::parse(&bytes).is_err());
        if let Ok(proof) = Proof::parse(text.as_bytes()) {
            prop_assert_eq!(proof.to_bytes(), text.into_bytes());
        }
    }
}
