//! Tests of the counters.

use model::Timestamp;

use super::*;
use crate::clients::Visit;

fn names() -> (ComponentName, Serial) {
    ("web".parse().unwrap(), "paydesk-000001".parse().unwrap())
}

#[test]
fn a_time_falls_into_the_first_bucket_that_is_not_below_it() {
    let cases = [
        (0, 0),
        (1, 0),
        (64, 0),
        (65, 1),
        (128, 1),
        (129, 2),
        (1_000, 4),
        (67_108_864, 20),
        (67_108_865, 21),
        (u64::MAX, 21),
    ];
    for (us, wanted) in cases {
        assert_eq!(bucket(Duration::from_micros(us)), wanted, "{us} µs");
        assert!(us <= bound_us(wanted));
    }
    assert_eq!(bound_us(0), 64);
    assert_eq!(bound_us(20), 67_108_864);
}

#[test]
fn threads_that_count_at_once_lose_nothing() {
    let counts = Counts::default();
    let (component, serial) = names();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let (counts, version) = (&counts, counts.version(&component, &serial));
            scope.spawn(move || {
                for request in 0..5_000_u32 {
                    let mut one = InFlight::begin(Arc::clone(&version), None);
                    let identity = format!("address:10.0.{thread}.{}", request % 8).into();
                    drop(Visit::new(one.version(), &identity, Timestamp::from_unix(1), &counts.clients_in_all));
                    one.answered(request % 10 == 0);
                    if request % 5 == 0 {
                        one.withdraw();
                    }
                }
            });
        }
    });
    let rows = counts.version_rows();
    let row = rows.first().unwrap();
    assert_eq!((row.requests, row.errors, row.in_flight, row.clients), (16_000, 0, 0, 32));
    assert_eq!(row.latency_us.iter().map(|(_, n)| n).sum::<u64>(), 20_000);
}

#[test]
fn old_versions_are_forgotten_but_none_in_use() {
    let counts = Counts::default();
    let (component, first) = names();
    let in_use = counts.version(&component, &first);
    for ordinal in 2..=(MAX_COUNTED_VERSIONS as u64 + 20) {
        counts.version(&component, &Serial::new(first.system().clone(), ordinal));
    }
    counts.forget_old();
    let rows = counts.version_rows();
    assert_eq!(rows.len(), MAX_COUNTED_VERSIONS);
    assert!(rows.iter().any(|row| row.serial == first), "in use: {}", in_use.id());
    assert!(!rows.iter().any(|row| row.serial.ordinal() == 2), "the oldest goes first");
}

#[test]
fn places_for_held_requests_are_bounded() {
    let counts = Counts::default();
    assert!(counts.take_hold_place(2));
    assert!(counts.take_hold_place(2));
    assert!(!counts.take_hold_place(2));
    counts.give_hold_place();
    assert!(counts.take_hold_place(2));
    assert_eq!(counts.held_now(), 2);
}
