//! Leases are bounded, belong to who took them, and end by themselves.

use std::sync::Arc;

use model::Timestamp;

use super::{LeaseError, Leases};
use crate::limits::{MAX_LEASES, MAX_LEASES_OF_ONE};

const fn at(s: u64) -> Timestamp {
    Timestamp::from_unix(s)
}

#[test]
fn a_lease_ends_by_itself_or_by_its_own_client() {
    let (leases, ann, bob) = (Leases::default(), Arc::from("token:ann"), Arc::from("token:bob"));
    leases.take(&ann, "sheet", at(100), at(50)).unwrap();
    leases.end(&bob, "sheet");
    assert_eq!(leases.in_force(at(99)).len(), 1);
    leases.take(&ann, "sheet", at(200), at(99)).unwrap();
    assert_eq!(leases.in_force(at(199)).len(), 1);
    assert_eq!(leases.in_force(at(200)), []);
    leases.take(&ann, "sheet", at(300), at(200)).unwrap();
    leases.end(&ann, "sheet");
    assert_eq!(leases.in_force(at(201)), []);
}

#[test]
fn nobody_can_take_them_all() {
    let leases = Leases::default();
    let take = |who: usize, name: usize, now| {
        leases.take(&Arc::from(format!("address:{who}")), &name.to_string(), at(100), now)
    };
    for name in 0..MAX_LEASES_OF_ONE {
        take(0, name, at(1)).unwrap();
    }
    assert_eq!(take(0, MAX_LEASES_OF_ONE, at(1)), Err(LeaseError::OfOne));
    take(0, 0, at(1)).unwrap();
    for who in 1..=(MAX_LEASES - MAX_LEASES_OF_ONE) {
        take(who, 0, at(1)).unwrap();
    }
    assert_eq!(take(9_999, 0, at(1)), Err(LeaseError::OfAll));
    // What is over makes room.
    assert_eq!(leases.take(&Arc::from("address:x"), "new", at(200), at(100)), Ok(()));
}
