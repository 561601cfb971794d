use serde_json::json;

use super::*;
use crate::processes::watch::board::statements;

fn judged(state: Value) -> Vec<(AlarmKind, Option<String>, String)> {
    let state: BTreeMap<String, Value> = serde_json::from_value(state).unwrap();
    let mut observed = Observed::default();
    let agent = AlarmAbout { process: Some("agent".parse().unwrap()), ..AlarmAbout::default() };
    judge(&state, &agent, &mut observed);
    let world = crate::verbs::world::World::new();
    let all = statements(&observed, &BTreeSet::new(), world.view().facts());
    let current = crate::processes::watch::board::current(&observed, &[], world.view().facts(), SystemClock.now());
    all.into_iter()
        .map(|(c, firing)| {
            assert!(firing);
            (c.what, c.about.component.as_ref().map(ToString::to_string), current[&c].words.clone())
        })
        .collect()
}

fn placement(state: Value) -> Value {
    json!({
        "system": "paydesk", "environment": "production", "moves": false, "doing": "x", "waits": [],
        "instances": [{ "instance": "i", "component": "web", "serial": "paydesk-000001", "image": "x",
                        "address": "10.77.1.2:8080", "state": state }],
    })
}

#[test]
fn a_host_where_all_is_well_calls_for_nothing() {
    let state = json!({
        "paydesk in production": placement(json!({ "healthy": { "since": 7 } })),
        "stops": { "overdue": [], "distrust": null },
        "denied": { "packets": 3, "flows": [{ "from": "10.77.255.3", "to": "10.77.1.9:80", "protocol": "tcp", "packets": 3 }] },
    });
    assert_eq!(judged(state), [], "what the health checks reach for in vain is none of a component's acts");
    assert_eq!(judged(json!({})), []);
    assert_eq!(judged(json!({ "denied": null, "stops": 7, "x": [] })), [], "what is not understood says nothing");
}

#[test]
fn drift_stops_that_are_late_distrust_and_denied_flows_call_for_alarms() {
    let found = judged(json!({
        "paydesk in production": placement(json!({ "drifted": { "what": "another root" } })),
        "stops": { "overdue": ["ALARM: a halt was delivered here and is not in the log"], "distrust": "it shrank", "executor": "the agent's executor does not answer" },
        "denied": { "packets": 3, "flows": [
            { "from": "10.77.1.2", "to": "10.77.2.2:5432", "protocol": "tcp", "packets": 3 },
            { "from": "10.77.9.9", "to": "10.77.2.2:22", "protocol": "tcp", "packets": 1 },
        ] },
    }));
    let web = || Some("web".to_owned());
    assert_eq!(
        found,
        [
            (AlarmKind::HeartbeatMissed, None, "the agent's executor does not answer".to_owned()),
            (AlarmKind::Drift, web(), "web is not what was started: another root".to_owned()),
            (AlarmKind::StopNotLogged, None, "a halt was delivered here and is not in the log".to_owned()),
            (AlarmKind::Fork, None, "the agent does not believe the log: it shrank".to_owned()),
            (
                AlarmKind::FlowDenied,
                None,
                "10.77.9.9 tried to reach 10.77.2.2:22 (1 packets), which no release allows".to_owned()
            ),
            (
                AlarmKind::FlowDenied,
                web(),
                "web tried to reach 10.77.2.2:5432 (3 packets), which no release allows".to_owned()
            ),
        ]
    );
}
