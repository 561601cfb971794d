//! Refusals, a row a reason.

use std::collections::BTreeMap;

use model::release::{Component, Environment, Flow, Health, Limits, Strategy, Volume};
use rollout::instance::{GivenValue, InstanceId};

use super::*;

fn component(name: &str) -> Component {
    Component {
        name: name.parse().unwrap(),
        image: Digest::of(name.as_bytes()),
        command: Vec::new(),
        port: 8080,
        health: Health { path: None, interval_ms: 1, timeout_ms: 1, deadline_ms: 1 },
        zone: "front".parse().unwrap(),
        replicas: 2,
        limits: Limits { memory_mib: 64, cpu_percent: 50, pids: 32, tmp_mib: 8, stop_timeout_ms: 100 },
        volumes: Vec::new(),
        migrations: Vec::new(),
        environment: BTreeMap::new(),
        secrets: BTreeMap::new(),
        values: Vec::new(),
        drain: None,
    }
}

fn release() -> Release {
    let mut ledger = component("ledger");
    ledger.volumes.push(Volume { name: "data".parse().unwrap(), path: "/data".to_owned(), exclusive: true });
    Release {
        system: "paydesk".parse().unwrap(),
        serial: "paydesk-000042".parse().unwrap(),
        commit: "0123456789012345678901234567890123456789".parse().unwrap(),
        components: vec![ledger, component("payments"), component("web")],
        flows: vec![
            Flow { from: Origin::Edge, to: "web".parse().unwrap() },
            Flow { from: Origin::Component("web".parse().unwrap()), to: "payments".parse().unwrap() },
            Flow { from: Origin::Component("payments".parse().unwrap()), to: "ledger".parse().unwrap() },
        ],
        environments: vec![Environment {
            name: "production".parse().unwrap(),
            strategy: Strategy::BlueGreen,
            expose: BTreeMap::new(),
            watch_s: 1,
            error_limit_bp: 1,
            error_min_requests: 1,
            drain_s: 1,
            hold_ms: 1,
            approvals: None,
            analysis: None,
            versions: None,
            tcp: std::collections::BTreeSet::new(),
            surge: std::collections::BTreeMap::new(),
            newer: model::release::Newer::Usual,
        }],
    }
}

fn plan(name: &str) -> InstanceSpec {
    let release = release();
    InstanceSpec {
        id: InstanceId {
            environment: "production".parse().unwrap(),
            serial: release.serial.clone(),
            component: name.parse().unwrap(),
            number: 2,
        },
        release: release.digest().unwrap(),
        component: release.component(&name.parse().unwrap()).unwrap().clone(),
        peers: BTreeMap::new(),
        from_edge: false,
        values: Vec::new(),
    }
}

/// What somebody changes of a plan.
type Edit<'a> = &'a dyn Fn(&mut InstanceSpec);

#[test]
fn a_plan_adds_nothing_to_its_release() {
    let document = release().to_bytes().unwrap();
    let edited = |name: &str, edit: Edit<'_>| {
        let mut plan = plan(name);
        edit(&mut plan);
        check(&plan, &document).map_err(|error| error.to_string())
    };
    let peer = |variable: &'static str, address: &'static str| {
        move |plan: &mut InstanceSpec| drop(plan.peers.insert(variable.to_owned(), vec![address.parse().unwrap()]))
    };
    let allowed: [(&str, Edit<'_>); 7] = [
        ("web", &|_| {}),
        ("web", &|plan| plan.from_edge = true),
        ("web", &peer("COUNTERSIGN_PEER_PAYMENTS", "10.7.2.2:8080")),
        ("payments", &peer("COUNTERSIGN_PEER_LEDGER", "10.7.255.1:8080")),
        ("payments", &peer("COUNTERSIGN_PEER_LEDGER", "10.7.2.3:8080")),
        ("ledger", &|plan| plan.from_edge = true),
        ("payments", &|plan| plan.id.number = 1),
    ];
    for (name, edit) in allowed {
        assert_eq!(edited(name, edit), Ok(()));
    }
    let as_planned = "release `paydesk-000042` does not ask for ";
    let refused: [(&str, Edit<'_>, &str); 12] = [
        ("web", &|plan| plan.release = Digest::of(b"another"), "the release document has the digest "),
        (
            "web",
            &|plan| plan.id.environment = "staging".parse().unwrap(),
            "release `paydesk-000042` is not for the environment `staging`",
        ),
        ("web", &|plan| plan.id.serial = "paydesk-000043".parse().unwrap(), as_planned),
        ("web", &|plan| plan.id.component = "other".parse().unwrap(), as_planned),
        ("web", &|plan| plan.id.number = 3, as_planned),
        ("web", &|plan| plan.component.image = Digest::of(b"another"), as_planned),
        ("web", &|plan| plan.component.limits.memory_mib = 65, as_planned),
        (
            "web",
            &peer("COUNTERSIGN_PEER_LEDGER", "10.7.2.2:8080"),
            "release `paydesk-000042` has no flow from `web` to the peer in `COUNTERSIGN_PEER_LEDGER`",
        ),
        (
            "payments",
            &peer("COUNTERSIGN_PEER_WEB", "10.7.2.2:8080"),
            "release `paydesk-000042` has no flow from `payments` to the peer in `COUNTERSIGN_PEER_WEB`",
        ),
        (
            "web",
            &peer("COUNTERSIGN_PEER_PAYMENTS", "10.7.2.2:22"),
            "`10.7.2.2:22` in `COUNTERSIGN_PEER_PAYMENTS` can not be an address of that component",
        ),
        (
            "web",
            &peer("COUNTERSIGN_PEER_PAYMENTS", "10.7.255.1:8080"),
            "`10.7.255.1:8080` in `COUNTERSIGN_PEER_PAYMENTS` can not be an address of that component",
        ),
        ("payments", &|plan| plan.from_edge = true, "release `paydesk-000042` has no flow from the edge to `payments`"),
    ];
    for (name, edit, why) in refused {
        let found = edited(name, edit).unwrap_err();
        assert!(found.starts_with(why), "{found}");
    }
}

#[test]
fn a_document_that_is_no_release_is_refused() {
    let document = b"{}";
    let plan = InstanceSpec { release: Digest::of(document), ..plan("web") };
    assert!(matches!(check(&plan, document), Err(PlanError::Form(_))));
}

/// A component that reads guarded values starts with exactly those, each as it was committed to, or not at all.
#[test]
fn a_plan_gives_exactly_the_values_that_are_read() {
    let mut release = release();
    let names = ["limit", "payout"].map(|name| name.parse().unwrap());
    release.components[1].values = names.to_vec();
    let document = release.to_bytes().unwrap();
    let value = |name: &str, text: &str| {
        let (salt, text) = ([7; 32], text.to_owned());
        let commitment = Digest::of(&[salt.as_slice(), text.as_bytes()].concat());
        GivenValue { name: name.parse().unwrap(), commitment, salt, text }
    };
    let given = |values: Vec<GivenValue>| {
        let mut plan = plan("payments");
        (plan.release, plan.component, plan.values) = (Digest::of(&document), release.components[1].clone(), values);
        check(&plan, &document).map_err(|error| error.to_string())
    };
    let (limit, payout) = (value("limit", "1000"), value("payout", "DE89370400440532013000"));
    assert_eq!(given(vec![limit.clone(), payout.clone()]), Ok(()));
    let reads = "`payments` of release `paydesk-000042` reads the guarded values [limit, payout], and is given [";
    for (values, wanted) in [
        (vec![], format!("{reads}]")),
        (vec![payout.clone()], format!("{reads}payout]")),
        (vec![limit.clone(), limit.clone()], format!("{reads}limit, limit]")),
        (vec![payout.clone(), limit.clone()], format!("{reads}payout, limit]")),
        (vec![limit.clone(), payout.clone(), value("x", "y")], format!("{reads}limit, payout, x]")),
        (
            vec![limit.clone(), GivenValue { text: "GB29NWBK60161331926819".to_owned(), ..payout.clone() }],
            "the guarded value `payout` is not the one that was committed to".to_owned(),
        ),
        (
            vec![limit, GivenValue { salt: [8; 32], ..payout.clone() }],
            "the guarded value `payout` is not the one that was committed to".to_owned(),
        ),
    ] {
        assert_eq!(given(values), Err(wanted));
    }
    let mut strange = plan("web");
    strange.values = vec![payout];
    assert!(check(&strange, &self::release().to_bytes().unwrap()).is_err(), "nothing reads it");
}
