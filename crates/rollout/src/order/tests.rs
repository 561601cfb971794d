//! Orders of small releases.

use std::collections::BTreeMap;

use model::{
    Digest, Serial,
    release::{Flow, Health, Limits, Volume},
};

use super::*;

fn release(components: &[(&str, bool)], flows: &[(&str, &str)]) -> Release {
    let component = |(name, exclusive): &(&str, bool)| Component {
        name: name.parse().expect("a component"),
        image: Digest::of(name.as_bytes()),
        command: Vec::new(),
        port: 80,
        health: Health { path: None, interval_ms: 1, timeout_ms: 1, deadline_ms: 1 },
        zone: "zone".parse().expect("a zone"),
        replicas: 1,
        limits: Limits { memory_mib: 1, cpu_percent: 1, pids: 1, tmp_mib: 1, stop_timeout_ms: 1 },
        volumes: if *exclusive {
            vec![Volume { name: "data".parse().expect("a volume"), path: "/data".to_owned(), exclusive: true }]
        } else {
            Vec::new()
        },
        migrations: Vec::new(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        values: Vec::new(),
        drain: None,
    };
    let flow = |(from, to): &(&str, &str)| Flow {
        from: Origin::Component(from.parse().expect("a component")),
        to: to.parse().expect("a component"),
    };
    Release {
        system: "s".parse().expect("a system"),
        serial: Serial::new("s".parse().expect("a system"), 1),
        commit: "0".repeat(40).parse().expect("a commit"),
        components: components.iter().map(component).collect(),
        flows: flows.iter().map(flow).collect(),
        environments: Vec::new(),
    }
}

fn order(components: &[(&str, bool)], flows: &[(&str, &str)]) -> Result<Vec<String>, Vec<String>> {
    let names = |list: Vec<&Component>| list.into_iter().map(|c| c.name.to_string()).collect();
    start_order(&release(components, flows)).map(names).map_err(names)
}

#[test]
fn targets_come_before_sources() {
    let names = |list: &[&str]| list.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(order(&[("a", false), ("b", false)], &[("a", "b")]), Ok(names(&["b", "a"])));
    assert_eq!(
        order(&[("ledger", true), ("payments", false), ("web", false)], &[("web", "payments"), ("payments", "ledger")]),
        Ok(names(&["ledger", "payments", "web"]))
    );
    // The edge stands in for an exclusive component, so a circle through it has an order.
    assert_eq!(order(&[("a", false), ("b", true)], &[("a", "b"), ("b", "a")]), Ok(names(&["a", "b"])));
    assert_eq!(order(&[("a", false), ("b", false), ("c", false)], &[("a", "b"), ("b", "a")]), Err(names(&["a", "b"])));
    assert_eq!(order(&[("a", false)], &[("a", "a")]), Err(names(&["a"])));
}
