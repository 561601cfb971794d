//! Tests of the table: its checks as a truth table, shares and turns.

use model::route::{Backend, Protocol};

use super::*;

fn backend(ordinal: u64, weight: u32, instances: &[&str]) -> Backend {
    let serial = Serial::new("paydesk".parse().unwrap(), ordinal);
    Backend { serial, weight, instances: instances.iter().map(|address| address.parse().unwrap()).collect() }
}

fn route(listen: &str, state: RouteState, backends: Vec<Backend>) -> Route {
    Route {
        listen: listen.parse().unwrap(),
        component: "web".parse().unwrap(),
        protocol: Protocol::Http,
        tls: None,
        identity: Vec::new(),
        state,
        backends,
        drain_ms: None,
        split: None,
        names: None,
        surge: None,
    }
}

fn open(backends: Vec<Backend>) -> Route {
    route("127.0.0.1:80", RouteState::Open, backends)
}

fn in_force(route: Route) -> InForce {
    InForce::new(&route, (1, 1), Arc::default(), &Counts::default(), None)
}

#[test]
fn each_fault_of_a_table_is_named() {
    let other = || route("127.0.0.1:81", RouteState::Closed, vec![]);
    let cases: Vec<(Vec<Route>, Result<(), &str>)> = vec![
        (vec![], Ok(())),
        (vec![open(vec![backend(1, 0, &[]), backend(2, 9, &["10.0.0.1:80", "10.0.0.2:80"])]), other()], Ok(())),
        (vec![other(), other()], Err("two routes listen on `127.0.0.1:81`")),
        (vec![route("127.0.0.1:0", RouteState::Open, vec![])], Err("the route of `web` listens on port 0")),
        (
            vec![route("127.0.0.1:80", RouteState::Hold { limit_ms: MAX_HOLD_MS + 1 }, vec![])],
            Err("the route of `web` holds requests for 300001 ms, more than 300000"),
        ),
        (
            vec![open(vec![backend(1, 1, &[]), backend(1, 0, &[])])],
            Err("`paydesk-000001` stands twice behind the route of `web`"),
        ),
        (
            vec![open(vec![backend(1, 1, &["10.0.0.1:80"]), backend(2, 0, &["10.0.0.1:80"])])],
            Err("the instance `10.0.0.1:80` of `web` stands twice or has port 0"),
        ),
        (
            vec![open(vec![backend(1, 1, &["10.0.0.1:0"])])],
            Err("the instance `10.0.0.1:0` of `web` stands twice or has port 0"),
        ),
        (vec![open((1..18).map(|n| backend(n, 1, &[])).collect())], Err("versions behind a route: 17, more than 16")),
    ];
    for (routes, wanted) in cases {
        let table = RouteTable { generation: 1, revision: 1, routes };
        assert_eq!(check(&table).map_err(|error| error.to_string()), wanted.map_err(str::to_owned));
    }
}

#[test]
fn shares_follow_weights_within_one_request_in_ten() {
    let table = in_force(open(vec![
        backend(1, 9, &["10.0.0.1:80"]),
        backend(2, 1, &["10.0.0.2:80"]),
        backend(3, 0, &["10.0.0.3:80"]),
    ]));
    let turn = AtomicU64::new(0);
    let mut taken = [0_u32; 3];
    for n in 1..=10_000_u32 {
        taken[table.choose(&turn, &[]).unwrap()] += 1;
        assert!(taken[1].abs_diff(n / 10) <= 2, "after {n}: {taken:?}");
    }
    assert_eq!(taken[2], 0);
}

#[test]
fn versions_without_an_untried_instance_are_passed_over() {
    let table =
        in_force(open(vec![backend(1, 9, &["10.0.0.1:80"]), backend(2, 1, &["10.0.0.2:80"]), backend(3, 5, &[])]));
    let turn = AtomicU64::new(0);
    let tried = [Arc::clone(&table.versions[0].instances[0])];
    assert!((0..100).all(|_| table.choose(&turn, &tried) == Some(1)));
    let all: Vec<_> = table.instances().map(Arc::clone).collect();
    assert_eq!(table.choose(&turn, &all), None);
}

#[test]
fn instances_take_turns() {
    let table = in_force(open(vec![backend(1, 1, &["10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"])]));
    let version = &table.versions[0];
    let mut ports = Vec::new();
    for _ in 0..6 {
        ports.push(version.next_instance(&[]).unwrap().address.to_string());
    }
    assert_eq!(ports[..3], ports[3..]);
    assert_eq!(ports[..3].iter().collect::<HashSet<_>>().len(), 3);
}
