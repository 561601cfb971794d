use proptest::prelude::*;

use super::*;
use crate::fixtures::{ORIGIN, log_signer};

const EXAMPLE: &str = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";

/// The example of C2SP tlog-checkpoint.
#[test]
fn the_specifications_example_goes_round() {
    let checkpoint: Checkpoint = EXAMPLE.parse().unwrap();
    assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
    assert_eq!(checkpoint.to_string(), EXAMPLE);
    let extended = format!("{EXAMPLE}one\ntwo\n");
    let checkpoint: Checkpoint = extended.parse().unwrap();
    assert_eq!(checkpoint.extensions, ["one", "two"]);
    assert_eq!(checkpoint.to_string(), extended);
}

#[test]
fn malformed_checkpoints() {
    for (case, text) in [
        ("empty", String::new()),
        ("no root", "origin\n1\n".to_owned()),
        ("no last newline", EXAMPLE.trim_end().to_owned()),
        ("empty origin", EXAMPLE.replace("example.com/behind-the-sofa", "")),
        ("leading zero", EXAMPLE.replace("2085", "02085")),
        ("sign", EXAMPLE.replace("2085", "+2085")),
        ("hex", EXAMPLE.replace("20852163", "0x10")),
        ("too large", EXAMPLE.replace("20852163", "18446744073709551615")),
        ("short root", EXAMPLE.replace("CsUYapGG", "")),
        ("url-safe root", EXAMPLE.replace('/', "_")),
        ("empty extension", format!("{EXAMPLE}\none\n")),
    ] {
        let parsed = text.parse::<Checkpoint>();
        // `_` stands in the origin too, which may hold it; the root may not.
        assert!(parsed.is_err(), "{case}: {parsed:?}");
    }
}

#[test]
fn only_the_logs_own_checkpoints_open() {
    let signer = log_signer();
    let signed = SignedCheckpoint::sign(7, Digest::of(b"root"), &signer).unwrap();
    let bytes = signed.to_bytes();
    assert_eq!(SignedCheckpoint::open(&bytes, signer.vkey()).unwrap(), signed);
    assert_eq!((signed.size(), signed.root()), (7, Digest::of(b"root")));
    let other: VerifierKey = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k".parse().unwrap();
    let error = SignedCheckpoint::open(&bytes, &other).unwrap_err();
    assert_eq!(error.to_string(), format!("the checkpoint is of the log `{ORIGIN}`, not of `example.com/foo`"));
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(SignedCheckpoint::open(&changed, signer.vkey()).is_err(), "byte {at}");
    }
}

proptest! {
    #[test]
    fn any_text_is_a_checkpoint_or_an_error(text in "\\PC{0,20}\n[0-9]{0,20}\n\\PC{0,50}\n(\\PC{0,10}\n){0,2}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(checkpoint) = text.parse::<Checkpoint>() {
            prop_assert_eq!(checkpoint.to_string(), text);
        }
        prop_assert!(SignedCheckpoint::open(&bytes, log_signer().vkey()).is_err());
    }
}
