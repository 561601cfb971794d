//! Tests of comparisons: what is counted of a unit, and faults of a split.

use super::*;

fn split(share: u8, flags: Vec<Flag>) -> Split {
    Split {
        salt: Digest::of(b"salt"),
        trial: "paydesk-000002".parse().unwrap(),
        control: "paydesk-000001".parse().unwrap(),
        share,
        cohort: vec![],
        silence_ms: 60_000,
        tick_ms: 1_000,
        flags,
    }
}

fn comparison(split: Split) -> Arc<Comparison> {
    Arc::new(Comparison::new(&"web".parse().unwrap(), &Arc::new(split), 3, 4))
}

fn row(comparison: &Comparison) -> TickRow {
    comparison.finish(Instant::now() + Duration::from_secs(3_600)).unwrap()
}

const US: fn(u64) -> Duration = Duration::from_micros;

#[test]
fn a_unit_is_flagged_once_and_only_for_its_own_side() {
    let flags = vec![Flag::Failed, Flag::Slower { control_us: 100, trial_us: 110, count: 2 }];
    let comparison = comparison(split(10, flags));
    // Unit, arm, failed, microseconds: unit 3 fails thrice, 4 is slow once, 5 twice; of the control 99 is slow twice.
    let requests = [
        (3, Arm::Trial, true, 1),
        (3, Arm::Trial, true, 1),
        (3, Arm::Trial, true, 1),
        (4, Arm::Trial, false, 111),
        (4, Arm::Trial, false, 110),
        (5, Arm::Trial, false, 111),
        (5, Arm::Trial, false, 112),
        (99, Arm::Control, false, 101),
        (99, Arm::Control, false, 101),
        (10, Arm::Control, true, 1),
        // On the other side by now.
        (9, Arm::Control, true, 1),
        (10, Arm::Trial, true, 1),
    ];
    for (unit, arm, failed, us) in requests {
        Compared::new(Arc::clone(&comparison), arm, unit).ended(failed, US(us));
    }
    let row = row(&comparison);
    assert_eq!((row.generation, row.revision), (3, 4));
    assert_eq!(row.trial, TickTotals { requests: 7, failed: 3 });
    assert_eq!(row.control, TickTotals { requests: 3, failed: 1 });
    let flagged: Vec<_> = row.flags.iter().map(|flag| (flag.trial_flagged, flag.control_flagged)).collect();
    assert_eq!(flagged, [(1, 1), (1, 1)]);
}

#[test]
fn every_share_has_its_units() {
    for share in [0, 1, 50, 99, 100] {
        let comparison = comparison(split(share, vec![Flag::Failed]));
        for unit in 0..UNITS {
            for arm in [Arm::Trial, Arm::Control] {
                Compared::new(Arc::clone(&comparison), arm, unit).ended(true, US(1));
            }
        }
        let share = u32::from(share);
        let wanted = FlagCounts {
            trial_units: share,
            trial_flagged: share,
            control_units: 100 - share,
            control_flagged: 100 - share,
        };
        assert_eq!(row(&comparison).flags, [wanted]);
        assert_eq!(
            comparison.finish(Instant::now() + Duration::from_secs(7_200)).unwrap().trial,
            TickTotals::default()
        );
    }
}

#[test]
fn nothing_is_told_of_a_tick_that_is_not_over_or_of_a_comparison_that_is() {
    let comparison = comparison(split(10, vec![Flag::Failed]));
    assert_eq!(comparison.finish(Instant::now()), None);
    comparison.end();
    assert_eq!(comparison.finish(Instant::now() + Duration::from_secs(60)), None);
    assert_eq!((comparison.tick_ends(), comparison.listen(Duration::from_secs(3_600))), (None, None));
}

#[test]
fn places_are_packed_and_unpacked() {
    for unit in (0..UNITS).map(Some).chain([None]) {
        for arm in [Arm::Trial, Arm::Control] {
            let place = Place { arm, unit };
            assert_eq!(Place::unpack(place.pack()), Some(place));
            assert!(place.pack() < 1 << Place::BITS);
        }
    }
    assert_eq!(Place::unpack(0), None);
}

#[test]
fn each_fault_of_a_split_is_named() {
    let slower = Flag::Slower { control_us: 1, trial_us: 1, count: 0 };
    let cases: [(Split, &str); 8] = [
        (Split { trial: split(0, vec![]).control, ..split(0, vec![]) }, "`paydesk-000001` is compared with itself"),
        (split(101, vec![]), "101 units of 100 go to the trial"),
        (Split { tick_ms: 49, ..split(1, vec![]) }, "a tick is 49 ms, not 50 to 60000"),
        (Split { tick_ms: 60_001, ..split(1, vec![]) }, "a tick is 60001 ms, not 50 to 60000"),
        (Split { silence_ms: 999, ..split(1, vec![]) }, "silence begins after 999 ms, before the end of a tick"),
        (split(1, vec![Flag::Failed; 65]), "65 flags, more than 64"),
        (split(1, vec![slower]), "no slow request at all would flag a unit"),
        (
            Split { cohort: vec![model::route::CohortRule::Named(Digest::of(b"")); 10_001], ..split(1, vec![]) },
            "10001 rules of its cohort, more than 10000",
        ),
    ];
    for (split, wanted) in cases {
        assert_eq!(fault(&split).as_deref(), Some(wanted));
    }
    assert_eq!(fault(&split(100, vec![Flag::Failed; 64])), None);
}
