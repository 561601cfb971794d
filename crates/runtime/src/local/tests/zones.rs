//! Who reaches whom: the table of denials, tried with real connections.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    thread,
    time::{Duration, Instant},
};

use rollout::{
    instance::{InstanceId, edge_address},
    step::Step,
};

use super::fixture::*;
use crate::local::{Local, namespace};

/// Time enough for a connection on one host; a denied one gives no answer at all.
const TRY: Duration = Duration::from_millis(700);

/// Whether a TCP connection from this namespace gets through.
fn reaches(netns: &str, target: SocketAddr) -> bool {
    namespace::inside(netns, || Ok(TcpStream::connect_timeout(&target, TRY).is_ok())).unwrap()
}

fn netns(local: &Local, id: &InstanceId) -> String {
    local.fabric.instance_name(local.records[id].slot)
}

#[test]
fn root_only_declared_flows_get_through() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let both = "httpd -p 8081 -h /www; exec httpd -f -p 8080 -h /www";
    let mut money = script("payments", image, both);
    money.zone = "money".parse().unwrap();
    let target = spec(&money, 1, 1);
    let second = spec(&money, 1, 2);
    for one in [&target, &second] {
        do_step(&mut local, &start(one));
        wait_healthy(&mut local, &one.id);
    }
    let (to, other) = (address(&mut local, &target.id), address(&mut local, &second.id));
    let mut web = spec(&script("web", image, both), 1, 1);
    web.peers.insert("COUNTERSIGN_PEER_PAYMENTS".to_owned(), vec![to]);
    let neighbour = spec(&script("neighbour", image, both), 1, 1);
    for one in [&web, &neighbour] {
        do_step(&mut local, &start(one));
        wait_healthy(&mut local, &one.id);
    }
    let (from, beside) = (address(&mut local, &web.id), address(&mut local, &neighbour.id));
    let (web_ns, neighbour_ns, target_ns) =
        (netns(&local, &web.id), netns(&local, &neighbour.id), netns(&local, &target.id));
    let at = |address: SocketAddr, port: u16| SocketAddr::new(address.ip(), port);
    let [a, b] = world.config.fabric;
    let SocketAddr::V4(from4) = from else { panic!("{from}") };
    let zone = from4.ip().octets()[2];
    let gateway = SocketAddr::from((Ipv4Addr::new(a, b, zone, 1), 8080));
    let edge = edge_address(world.config.fabric);
    let on_edge = TcpListener::bind((edge, 0)).unwrap().local_addr().unwrap();
    let before = local.denied().unwrap().packets;
    assert!(reaches(&web_ns, to), "the declared flow");
    let rows: [(&str, &str, SocketAddr); 12] = [
        ("another port of the target", &web_ns, at(to, 8081)),
        ("another instance of the target", &web_ns, other),
        ("the reverse", &target_ns, from),
        ("from a neighbour in its zone", &neighbour_ns, to),
        ("a neighbour on the same bridge", &web_ns, beside),
        ("within a zone that has no flow", &target_ns, other),
        ("the gateway of its zone", &web_ns, gateway),
        ("the fabric's own end of the uplink", &web_ns, SocketAddr::from((Ipv4Addr::new(a, b, 255, 2), 8080))),
        ("the edge without a flow", &web_ns, on_edge),
        ("the health checker's address", &web_ns, SocketAddr::from((Ipv4Addr::new(a, b, 255, 3), on_edge.port()))),
        ("the outside", &web_ns, "192.0.2.1:80".parse().unwrap()),
        ("the host by another address", &web_ns, "127.0.0.2:80".parse().unwrap()),
    ];
    // Beside each other, because each waits for an answer that does not come.
    thread::scope(|scope| {
        let tries = rows.map(|(what, netns, target)| (what, scope.spawn(move || reaches(netns, target))));
        for (what, through) in tries {
            assert!(!through.join().unwrap(), "{what}");
        }
    });
    let denied = local.denied().unwrap();
    assert!(denied.packets >= before + 10, "{denied:?}");
    for (from, to) in
        [(from, at(to, 8081)), (to, from), (beside, to), (from, beside), (from, "192.0.2.1:80".parse().unwrap())]
    {
        assert!(
            denied
                .flows
                .iter()
                .any(|flow| flow.from == from.ip() && flow.to == to && flow.protocol == "tcp" && flow.packets > 0),
            "{from} {to} {denied:?}"
        );
    }
    // A flow goes with the instance that it was for.
    end(&mut local, &web.id);
    assert!(reaches(&neighbour_ns, at(beside, 8081)), "its own address is its own");
    assert!(!reaches(&neighbour_ns, to));
}

#[test]
fn root_the_edge_reaches_what_it_may_and_is_reached_by_those_that_may() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    local.prepare().unwrap();
    let image = world.busybox(&[]);
    let edge = TcpListener::bind((edge_address(world.config.fabric), 0)).unwrap();
    let listening = edge.local_addr().unwrap();
    let served = thread::spawn(move || {
        let (mut stream, peer) = edge.accept().unwrap();
        stream.write_all(b"held").unwrap();
        peer
    });
    let open = spec(&component("web", image, &[]), 1, 1);
    let mut closed = spec(&component("inner", image, &[]), 1, 1);
    closed.from_edge = false;
    closed.peers.insert("COUNTERSIGN_PEER_LEDGER".to_owned(), vec![listening]);
    for one in [&open, &closed] {
        do_step(&mut local, &start(one));
        // Both answer the health checker, which has an address of its own.
        wait_healthy(&mut local, &one.id);
    }
    let (open_at, closed_at) = (address(&mut local, &open.id), address(&mut local, &closed.id));
    let mut stream = TcpStream::connect_timeout(&open_at, TRY).unwrap();
    assert_eq!(stream.local_addr().unwrap().ip(), edge_address(world.config.fabric));
    stream.write_all(b"GET /health HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with("well\n"), "{answer}");
    assert!(TcpStream::connect_timeout(&closed_at, TRY).is_err());
    assert!(TcpStream::connect_timeout(&SocketAddr::new(open_at.ip(), 8081), TRY).is_err());
    let netns = netns(&local, &closed.id);
    let said = namespace::inside(&netns, || {
        let mut said = String::new();
        TcpStream::connect_timeout(&listening, TRY).unwrap().read_to_string(&mut said).unwrap();
        Ok(said)
    });
    assert_eq!(said.unwrap(), "held");
    assert_eq!(served.join().unwrap().ip(), closed_at.ip());
}

#[test]
fn root_a_client_reaches_what_it_is_given_and_nothing_else() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let (one, two) = (spec(&component("web", image, &[]), 1, 1), spec(&component("inner", image, &[]), 1, 1));
    for spec in [&one, &two] {
        do_step(&mut local, &start(spec));
        wait_healthy(&mut local, &spec.id);
    }
    let (first, second) = (address(&mut local, &one.id), address(&mut local, &two.id));
    let path = local.client_netns("suite", &[first]).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(reaches(&name, first) && !reaches(&name, second));
    assert_eq!(local.client_netns("suite", &[second]).unwrap(), path);
    assert!(!reaches(&name, first) && reaches(&name, second));
    assert!(
        local
            .client_netns("suite", &["192.0.2.1:80".parse().unwrap()])
            .unwrap_err()
            .to_string()
            .contains("is not an address of this fabric")
    );
    // It stays after the executor is started again.
    drop(local);
    let mut local = world.open();
    do_step(&mut local, &Step::Stop(one.id.clone()));
    assert!(reaches(&name, second));
}

#[test]
fn root_a_peer_is_where_an_instance_of_that_component_is() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let target = spec(&component("payments", image, &[]), 1, 1);
    do_step(&mut local, &start(&target));
    let at = address(&mut local, &target.id);
    let with = |variable: &str, address: SocketAddr| {
        let mut web = spec(&component("web", image, &[]), 1, 1);
        web.peers.insert(variable.to_owned(), vec![address]);
        web
    };
    let mut elsewhere = with("COUNTERSIGN_PEER_PAYMENTS", at);
    elsewhere.id.environment = "staging".parse().unwrap();
    let mut foreign = with("COUNTERSIGN_PEER_PAYMENTS", at);
    foreign.id.serial = "other-000001".parse().unwrap();
    let mut newer = with("COUNTERSIGN_PEER_PAYMENTS", at);
    newer.id.serial = "paydesk-000002".parse().unwrap();
    let rows = [
        newer,
        with("COUNTERSIGN_PEER_LEDGER", at),
        with("COUNTERSIGN_PEER_PAYMENTS", SocketAddr::new(at.ip(), 22)),
        with("COUNTERSIGN_PEER_PAYMENTS", "192.0.2.1:8080".parse().unwrap()),
        elsewhere,
        foreign,
    ];
    for spec in rows {
        assert!(refused(&mut local, &start(&spec)).contains("is the address of no such instance here: observe again"));
    }
    do_step(&mut local, &start(&with("COUNTERSIGN_PEER_PAYMENTS", at)));
}

#[test]
fn root_two_scopes_do_not_share_addresses() {
    let (Some(world), Some(mut other)) = (World::new(), World::new()) else { return };
    let mut local = world.open();
    local.prepare().unwrap();
    let own = other.config.fabric;
    other.config.fabric = world.config.fabric;
    let mut second = other.open();
    assert!(
        second
            .prepare()
            .unwrap_err()
            .to_string()
            .contains("are used by another scope of this host: choose another fabric")
    );
    second.purge(crate::local::Keep::Nothing).unwrap();
    drop(second);
    other.config.fabric = own;
    // The first is none the worse for it.
    let spec = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
}

#[test]
fn root_addresses_are_kept_and_not_given_again_at_once() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let (one, two) = (spec(&component("web", image, &[]), 1, 1), spec(&component("web", image, &[]), 1, 2));
    do_step(&mut local, &start(&one));
    let first = address(&mut local, &one.id);
    drop(local);
    let mut local = world.open();
    assert_eq!(address(&mut local, &one.id), first);
    end(&mut local, &one.id);
    do_step(&mut local, &start(&two));
    let second = address(&mut local, &two.id);
    assert_ne!(first, second);
    assert_eq!(first.ip().to_string().rsplit_once('.').unwrap().0, second.ip().to_string().rsplit_once('.').unwrap().0);
    let begun = Instant::now();
    wait_healthy(&mut local, &two.id);
    assert!(begun.elapsed() < LIMIT);
}
