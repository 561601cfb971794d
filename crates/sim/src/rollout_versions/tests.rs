//! Each row is something that could take a version from its clients.

use model::{
    Serial, Timestamp,
    release::Versions,
    route::{Client, Clients, Lease, VersionClients},
};
use rollout::{
    Intent, Outcome, Version,
    beside::{Beside, Standing},
    milestone::Milestone,
    reason::Refusal,
};

use crate::rollout_run::{Kill, Run, intent, paydesk};

const LIMIT: u32 = 480;
/// The edge has looked for longer than any client counts.
const LONG_AGO: Timestamp = Timestamp::from_unix(1);

/// A version whose successors leave it running, and which takes these channels.
fn version(ordinal: u64, channels: &[&str], retire_after_s: Option<u32>) -> Version {
    let mut release = paydesk(ordinal, &[]).release;
    // The ledger has a volume of its own that one instance writes; such components can not live side by side.
    release.components.retain(|c| !c.is_exclusive());
    release.flows.retain(|f| release.components.iter().any(|c| c.name == f.to));
    for environment in &mut release.environments {
        environment.versions = Some(Versions {
            domain: "research.example".to_owned(),
            channels: channels.iter().map(|c| c.parse().expect("a channel")).collect(),
            most: 3,
            client_s: 60,
            retire_after_s,
            lease_s: 60,
        });
    }
    Version::new(release, ordinal * 10).expect("a digest")
}

fn nobody() -> Clients {
    Clients { start: 1, since: LONG_AGO, ..Clients::default() }
}

fn on(serial: &Serial) -> VersionClients {
    VersionClients {
        component: "web".parse().expect("a name"),
        serial: serial.clone(),
        connections: 0,
        sessions: 0,
        clients: 0,
        more: false,
        last_seen: None,
        seen: Vec::new(),
        leases: Vec::new(),
    }
}

/// Releases these, one after the other.
fn released(versions: &[&Version]) -> Run {
    let mut run = Run::new();
    run.clients = Some(nobody());
    let mut before: Option<&Version> = None;
    for version in versions {
        let plan = run.settle(&intent(version, before), LIMIT).expect("it settles");
        assert!(matches!(plan.outcome, Some(Outcome::Runs { .. })), "{plan:?}");
        before = Some(version);
    }
    run
}

fn serials(run: &Run) -> Vec<u64> {
    run.world.borrow().serials().iter().map(Serial::ordinal).collect()
}

fn hosts(run: &Run) -> Vec<(String, u64, bool)> {
    let names = run.progress().issued.routes.iter().filter_map(|r| r.names.as_ref());
    let mut hosts: Vec<_> =
        names.flat_map(|n| &n.versions).map(|n| (n.host.clone(), n.serial.ordinal(), n.closing)).collect();
    hosts.sort();
    hosts
}

fn keeps(version: &Version, before: &Version, orders: &[&Version]) -> Intent {
    let mut intent = intent(version, Some(before));
    intent.retire = orders.iter().map(|v| v.digest).collect();
    intent
}

fn runs_beside(run: &Run) -> Vec<u64> {
    let runs = run.progress().beside.iter().filter(|b| b.standing == Standing::Runs);
    runs.map(|b| b.version.serial().ordinal()).collect()
}

fn gone(run: &Run) -> Vec<u64> {
    let noted = run.noted();
    let serial = |m: &Milestone| match m {
        Milestone::Gone { serial } => Some(serial.ordinal()),
        _ => None,
    };
    noted.filter_map(serial).collect()
}

#[test]
fn a_release_leaves_the_one_before_running_by_its_name() {
    let (one, two) = (version(1, &["2026-10"], None), version(2, &[], None));
    let run = released(&[&one, &two]);
    assert_eq!(serials(&run), [1, 2]);
    let name = |host: &str, ordinal| (format!("{host}.research.example"), ordinal, false);
    assert_eq!(hosts(&run), [name("2026-10", 1), name("paydesk-000001", 1), name("paydesk-000002", 2)]);
    let route = &run.progress().issued.routes[0];
    let weights: Vec<_> = route.backends.iter().map(|b| (b.serial.ordinal(), b.weight)).collect();
    assert_eq!(weights, [(2, 1), (1, 0)]);
    assert_eq!(run.breaches(), Vec::<String>::new());
}

#[test]
fn a_channel_moves_only_with_a_release_that_names_it() {
    let (one, two, three) = (version(1, &["2026-10"], None), version(2, &[], None), version(3, &["2026-10"], None));
    let run = released(&[&one, &two, &three]);
    assert_eq!(serials(&run), [1, 2, 3]);
    assert!(hosts(&run).contains(&("2026-10.research.example".to_owned(), 3, false)), "{:?}", hosts(&run));
}

#[test]
fn at_the_bound_the_release_waits_and_nobody_is_cut() {
    let versions: Vec<Version> = (1..=4).map(|n| version(n, &[], None)).collect();
    let mut run = released(&versions.iter().take(3).collect::<Vec<_>>());
    let next = intent(&versions[3], Some(&versions[2]));
    for _ in 0..40 {
        let plan = run.round(&next);
        assert!(matches!(plan.outcome, Some(Outcome::Refused(Refusal::TooManyVersions { most: 3, .. }))), "{plan:?}");
        assert_eq!(plan.steps, []);
    }
    assert_eq!(serials(&run), [1, 2, 3]);
    // Once one is retired it goes on by itself.
    let mut retires = next;
    retires.retire = vec![versions[0].digest];
    run.until(&retires, LIMIT, |plan| matches!(plan.outcome, Some(Outcome::Runs { .. }))).expect("it goes on");
    assert_eq!(serials(&run), [2, 3, 4]);
    assert_eq!(gone(&run), [1]);
}

#[test]
fn an_order_retires_what_nobody_uses_and_waits_for_everybody_else() {
    let (one, two) = (version(1, &[], None), version(2, &[], None));
    let start = released(&[&one, &two]);
    let serial = one.serial();
    let now = start.world.borrow().now();
    let seen = |ago: u64| Timestamp::from_unix(now.unix() - ago);
    let client = Client { identity: "token:ada".to_owned(), connections: 0, sessions: 0, last_seen: now };
    let lease = Lease { name: "sheet".to_owned(), identity: "token:ada".to_owned(), until: now.plus_s(100_000) };
    let holds: Vec<(&str, Option<Clients>, &str)> = vec![
        ("the edge does not answer", None, "did not say"),
        (
            "the edge started again",
            Some(Clients { since: seen(30), ..nobody() }),
            "who was a client before is known from",
        ),
        (
            "an open session",
            Some(Clients { versions: vec![VersionClients { connections: 1, sessions: 1, ..on(serial) }], ..nobody() }),
            "1 open connections, 1 of them sessions",
        ),
        (
            "seen lately",
            Some(Clients {
                versions: vec![VersionClients { last_seen: Some(now), seen: vec![client], ..on(serial) }],
                ..nobody()
            }),
            "client `token:ada`",
        ),
        (
            "more clients than are remembered",
            Some(Clients {
                versions: vec![VersionClients { last_seen: Some(now), more: true, ..on(serial) }],
                ..nobody()
            }),
            "a client that is not remembered",
        ),
        (
            "a lease",
            Some(Clients { versions: vec![VersionClients { leases: vec![lease], ..on(serial) }], ..nobody() }),
            "lease `sheet` of `token:ada`",
        ),
    ];
    for (what, clients, words) in holds {
        let mut run = start.fork();
        run.clients = clients;
        let order = keeps(&two, &one, &[&one]);
        for _ in 0..20 {
            let plan = run.round(&order);
            assert!(plan.waits.iter().any(|w| w.to_string().contains(words)), "{what}: {:?}", plan.waits);
            assert_eq!(plan.steps, [], "{what}");
        }
        assert_eq!((serials(&run), runs_beside(&run)), (vec![1, 2], vec![1]), "{what}");
    }
    let mut run = start.fork();
    run.clients =
        Some(Clients { versions: vec![VersionClients { last_seen: Some(seen(61)), ..on(serial) }], ..nobody() });
    run.settle(&keeps(&two, &one, &[&one]), LIMIT).expect("it settles");
    assert_eq!((serials(&run), gone(&run)), (vec![2], vec![1]));
    assert!(hosts(&run).iter().all(|(_, ordinal, _)| *ordinal == 2));
    assert_eq!(run.breaches(), Vec::<String>::new());
}

/// The version is about to go when this happens.
fn closing() -> (Run, Version, Version) {
    let (one, two) = (version(1, &[], None), version(2, &[], None));
    let mut run = released(&[&one, &two]);
    let order = keeps(&two, &one, &[&one]);
    run.until(&order, LIMIT, |plan| {
        plan.progress.beside.iter().any(|b| matches!(b.standing, Standing::Closing { .. }))
    })
    .expect("it closes");
    assert!(hosts(&run).contains(&("paydesk-000001.research.example".to_owned(), 1, true)));
    (run, one, two)
}

#[test]
fn who_comes_between_the_look_and_the_end_keeps_the_version() {
    let (start, one, two) = closing();
    let looked = start.world.borrow().now();
    let came: [(&str, VersionClients, u64); 4] = [
        ("a request", VersionClients { last_seen: Some(looked), ..on(one.serial()) }, 1),
        ("a session", VersionClients { sessions: 1, ..on(one.serial()) }, 1),
        ("a connection", VersionClients { connections: 1, ..on(one.serial()) }, 1),
        ("an edge that started again", on(one.serial()), 2),
    ];
    for (what, row, edge) in came {
        let mut run = start.fork();
        run.clients = Some(Clients { start: edge, versions: vec![row], ..nobody() });
        // Nobody orders it again: the first look is over.
        let intent = keeps(&two, &one, &[]);
        run.until(&intent, LIMIT, |plan| plan.progress.beside.iter().all(|b| b.standing == Standing::Runs))
            .expect(what);
        run.settle(&intent, LIMIT).expect(what);
        assert_eq!((serials(&run), runs_beside(&run), gone(&run)), (vec![1, 2], vec![1], vec![]), "{what}");
        assert!(hosts(&run).iter().all(|(_, _, closing)| !closing), "{what}");
    }
}

#[test]
fn what_the_edge_said_before_it_closed_the_name_counts_for_nothing() {
    let (mut run, one, two) = closing();
    // The edge stops answering for its clients: the version stays, closed to nobody for good.
    run.clients = None;
    let intent = keeps(&two, &one, &[&one]);
    for _ in 0..20 {
        run.round(&intent);
    }
    assert_eq!((serials(&run), gone(&run)), (vec![1, 2], vec![]));
    run.crash();
    run.clients = Some(nobody());
    run.settle(&intent, LIMIT).expect("it settles");
    assert_eq!((serials(&run), gone(&run)), (vec![2], vec![1]));
}

#[test]
fn a_version_goes_by_itself_only_where_its_release_says_so() {
    for (after, left) in [(Some(120), vec![2]), (None, vec![1, 2])] {
        let (one, two) = (version(1, &[], after), version(2, &[], after));
        let mut run = released(&[&one, &two]);
        run.settle(&intent(&two, Some(&one)), LIMIT).expect("it settles");
        assert_eq!(serials(&run), left, "{after:?}");
    }
}

#[test]
fn a_retired_version_comes_back_beside_the_latest_once() {
    let (one, two) = (version(1, &["2026-10"], None), version(2, &[], None));
    let mut run = released(&[&one, &two]);
    run.settle(&keeps(&two, &one, &[&one]), LIMIT).expect("it settles");
    assert_eq!(serials(&run), [2]);
    let mut back = intent(&two, Some(&one));
    let mut again = one.clone();
    again.generation = 50;
    back.back = Some(again.clone());
    run.settle(&back, LIMIT).expect("it settles");
    assert_eq!((serials(&run), runs_beside(&run)), (vec![1, 2], vec![1]));
    assert_eq!(run.progress().current().map(|v| v.serial().ordinal()), Some(2));
    // Its channel went with it and does not come back by itself.
    assert!(hosts(&run).iter().all(|(host, ..)| !host.starts_with("2026-10")), "{:?}", hosts(&run));
    assert!(run.noted().any(|n| matches!(n, Milestone::BroughtBack { serial } if serial == one.serial())));
    // Retired again, the same verdict does not bring it back a second time.
    back.retire = vec![one.digest];
    run.settle(&back, LIMIT).expect("it settles");
    assert_eq!(serials(&run), [2]);
    run.settle(&back, LIMIT).expect("it settles");
    assert_eq!(serials(&run), [2]);
    assert_eq!(run.breaches(), Vec::<String>::new());
}

#[test]
fn going_back_ends_the_bad_version_and_leaves_the_others() {
    let (one, two, three) = (version(1, &[], None), version(2, &[], None), version(3, &[], None));
    let mut run = released(&[&one, &two, &three]);
    let mut order = two.clone();
    order.generation = 99;
    run.settle(&intent(&order, Some(&three)), LIMIT).expect("it settles");
    assert_eq!(serials(&run), [1, 2]);
    assert_eq!(run.progress().current().map(|v| v.serial().ordinal()), Some(2));
    assert_eq!(run.breaches(), Vec::<String>::new());
}

#[test]
fn an_instance_of_a_version_beside_is_started_again() {
    let (one, two) = (version(1, &[], None), version(2, &[], None));
    let mut run = released(&[&one, &two]);
    run.world.borrow_mut().kill(&"production.paydesk-000001.web.1".parse().expect("an id"));
    let before = run.world.borrow().healthy();
    run.settle(&intent(&two, Some(&one)), LIMIT).expect("it settles");
    assert!(run.world.borrow().healthy() > before);
    let beside: Vec<&Beside> = run.progress().beside.iter().collect();
    assert_eq!(beside.len(), 1);
}

/// A return that loses its verdict starts nothing more, and does not keep a place for ever.
#[test]
fn a_return_without_a_verdict_starts_nothing_and_ends() {
    let (one, two, three) = (version(1, &[], None), version(2, &[], None), version(3, &[], None));
    let returning = || {
        let mut run = released(&[&one, &two, &three]);
        run.settle(&keeps(&three, &two, &[&one]), LIMIT).expect("it settles");
        let mut back = intent(&three, Some(&two));
        let mut again = one.clone();
        again.generation = 50;
        back.back = Some(again);
        // Killed before its first start is made.
        run.kill = Some((run.busy, Kill::AfterStored));
        run.until(&back, LIMIT, |p| p.progress.beside.iter().any(|b| b.standing == Standing::Returning));
        run.kill = None;
        run
    };
    let mut run = returning();
    let none = intent(&three, Some(&two));
    let starts = |step: &rollout::step::Step| matches!(step, rollout::step::Step::Start(_));
    let plan = run.round(&none);
    assert!(!plan.steps.iter().any(|planned| planned.release == one.digest && starts(&planned.step)), "{plan:?}");
    let stands = |run: &Run| run.progress().beside.iter().any(|b| b.version.digest == one.digest);
    let ends = run.until(&none, 4 * LIMIT, |plan| plan.progress.beside.iter().all(|b| b.version.digest != one.digest));
    assert!(ends.is_some(), "it waits for ever");

    // Ordered away, it goes at once.
    let mut run = returning();
    let mut ordered = none.clone();
    ordered.retire = vec![one.digest];
    run.settle(&ordered, LIMIT).expect("it settles");
    assert!(!stands(&run));
}
