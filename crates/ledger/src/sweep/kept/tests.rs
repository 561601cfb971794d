use super::*;
use crate::{
    fixtures::{entries, log_of, log_signer},
    merkle::leaf_hash,
};

fn kept(audited: usize) -> Kept {
    let (log, _) = log_of(13);
    let mut range = CompactRange::new();
    entries(&log)[..audited].iter().for_each(|e| range.push(leaf_hash(e)));
    Kept {
        charter: Digest::of(b"charter"),
        decide: "1".to_owned(),
        range,
        index: (audited == 13).then(|| Digest::of(b"index")),
        checkpoint: (*log.head()).clone(),
    }
}

#[test]
fn it_is_read_as_it_was_written_and_not_otherwise() {
    let log = log_signer();
    let open = |bytes: &[u8]| Kept::from_bytes(bytes, log.vkey());
    for audited in [0, 8, 13] {
        assert_eq!(open(&kept(audited).to_bytes()).unwrap(), kept(audited));
    }
    let text = String::from_utf8(kept(13).to_bytes()).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert!(matches!(open(text.replace(lines[5], lines[6]).as_bytes()), Err(KeptError::Root)));
    assert!(matches!(open(text.replacen("\n13\n", "\n14\n", 1).as_bytes()), Err(KeptError::Root)));
    assert!(matches!(open(text.replace("/v1", "/v2").as_bytes()), Err(KeptError::Malformed)));
    assert!(matches!(
        open(text.replace("countersign.example", "other.example").as_bytes()),
        Err(KeptError::Checkpoint(_))
    ));
    for cut in 0..text.len() - 1 {
        assert!(open(&text.as_bytes()[..cut]).is_err(), "{cut}");
    }
}
