use model::{Clock as _, route::ClassCounts};
use serde_json::json;

use super::*;
use crate::{clock::SystemClock, processes::watch::board};

fn surge(component: &str, shed_lately: &[u64]) -> SurgeCounts {
    let names = if shed_lately.len() > 1 { vec!["settlement", "other"] } else { vec!["other"] };
    let class = |(name, shed_lately): (&str, &u64)| ClassCounts {
        class: name.to_owned(),
        shed_lately: *shed_lately,
        ..ClassCounts::default()
    };
    SurgeCounts {
        component: component.parse().unwrap(),
        limit: 9,
        in_flight: 9,
        connections_refused: 0,
        classes: names.into_iter().zip(shed_lately).map(class).collect(),
    }
}

fn called(surges: &[SurgeCounts]) -> Vec<(Condition, String)> {
    let placement: Placement = serde_json::from_value(json!({
        "system": "paydesk", "environment": "production",
        "instances": [{ "component": "web", "serial": "paydesk-000001", "address": "10.77.1.2:8080" }],
    }))
    .unwrap();
    let mut observed = Observed::default();
    judge(surges, &[placement], &mut observed);
    let world = crate::verbs::world::World::new();
    let current = board::current(&observed, &[], world.view().facts(), SystemClock.now());
    current.into_iter().map(|(condition, now)| (condition, now.words)).collect()
}

#[test]
fn only_what_matters_most_calls_for_an_alarm_when_it_is_refused() {
    assert_eq!(called(&[surge("web", &[0, 5_000])]), [], "that quotes are refused is what is asked for");
    assert_eq!(called(&[surge("web", &[7])]), [], "without classes nothing matters more than something");
    let found = called(&[surge("web", &[3, 5_000]), surge("ledger", &[0, 1])]);
    let [(condition, words)] = &found[..] else { panic!("{found:?}") };
    let about = AlarmAbout { component: Some("web".parse().unwrap()), ..AlarmAbout::default() };
    let (system, environment) = ("paydesk".parse().unwrap(), "production".parse().unwrap());
    assert_eq!(*condition, Condition::of(AlarmKind::ImportantShed, about).within(&system, &environment));
    assert_eq!(words, "web refuses requests of its first class, settlement: 3 in the last 10 s; it is given 9 at once");
}
