//! Tests of units.

use super::*;

#[test]
fn the_unit_of_an_identity_never_changes() {
    let salt = Digest::of(b"a comparison");
    // With another program: python3, hashlib, int.from_bytes(sha256(sha256(b"a comparison") + identity)[:8], "big") % 100.
    let wanted = [("token:alice", 23), ("token:bob", 56), ("address:10.0.0.1", 44)];
    for (identity, wanted) in wanted {
        assert_eq!(unit(&salt, identity), wanted, "{identity}");
    }
}

#[test]
fn units_are_about_equal_and_differ_between_comparisons() {
    let (one, other) = (Digest::of(b"one"), Digest::of(b"other"));
    let (mut clients, mut same) = ([0_u32; UNITS as usize], 0);
    for n in 0..20_000_u32 {
        let identity = format!("token:{n}");
        let unit_of_one = unit(&one, &identity);
        clients[usize::from(unit_of_one)] += 1;
        same += u32::from(unit_of_one == unit(&other, &identity));
    }
    // 200 each, with a standard deviation of 14.
    assert!(clients.iter().all(|n| (130..270).contains(n)), "{clients:?}");
    assert!((130..270).contains(&same), "{same}");
}
