//! From start to deletion, each step done twice.

use std::{collections::BTreeMap, os::unix::net::UnixStream, thread};

use model::release::{Drain, DrainSignal, Environment, Flow, Origin, Release, Strategy};
use rollout::{
    instance::{InstanceState, peer_variable},
    step::Step,
};

use super::fixture::*;
use crate::{
    driver::Driver as _,
    local::Keep,
    plan,
    protocol::{Executor as _, ExecutorClient, Request, serve},
};

#[test]
fn root_an_instance_starts_is_well_stops_and_is_deleted_with_every_step_done_twice() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let spec = spec(&component("web", image, &[]), 42, 1);
    do_step(&mut local, &start(&spec));
    do_step(&mut local, &start(&spec));
    assert_eq!(observed(&mut local).instances.len(), 1);
    wait_healthy(&mut local, &spec.id);
    let instance = seen(&mut local, &spec.id).unwrap();
    assert_eq!((instance.image, instance.release, instance.address.port()), (image, spec.release, 8080));
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    let stopped = seen(&mut local, &spec.id).unwrap();
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    assert_eq!(seen(&mut local, &spec.id).unwrap(), stopped);
    assert!(matches!(stopped.state, InstanceState::Exited { code: 137, out_of_memory: false, .. }), "{stopped:?}");
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    assert_eq!(observed(&mut local).instances, []);
    local.purge(Keep::Nothing).unwrap();
    drop(local);
    assert_eq!(left_on_host(&world), Vec::<String>::new());
}

#[test]
fn root_an_instance_is_told_that_it_drains_by_signal_and_request() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let image = world.busybox(&[]);
    let mut deaf = component("deaf", image, &[]);
    deaf.drain = Some(Drain { signal: Some(DrainSignal::Sigusr1), path: None });
    let mut web =
        script("web", image, "trap 'echo drains' USR1; httpd -f -p 8080 -h /www & while :; do sleep 0.05; done");
    web.drain = Some(Drain { signal: Some(DrainSignal::Sigusr1), path: None });
    let mut asked = component("asked", image, &[]);
    asked.drain = Some(Drain { signal: None, path: Some("/health".to_owned()) });
    let (deaf, web, asked) = (spec(&deaf, 42, 1), spec(&web, 42, 1), spec(&asked, 42, 1));
    for spec in [&deaf, &web, &asked] {
        do_step(&mut local, &start(spec));
        wait_healthy(&mut local, &spec.id);
    }
    do_step(&mut local, &Step::Drain(web.id.clone()));
    do_step(&mut local, &Step::Drain(web.id.clone()));
    let began = std::time::Instant::now();
    while !local.log(&web.id).unwrap().contains("drains") {
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "the signal did not arrive");
        thread::yield_now();
    }
    // Busybox has no handler for the signal, and its httpd takes no POST: both are said.
    let said = local.execute(&Step::Drain(deaf.id.clone())).unwrap_err().chain();
    assert!(said.ends_with("can not be told that it drains: it has no handler for SIGUSR1"), "{said}");
    let said = local.execute(&Step::Drain(asked.id.clone())).unwrap_err().chain();
    assert!(said.contains("`/health` answered 5"), "{said}");
    // Who has ended or is gone needs not be told.
    do_step(&mut local, &Step::Stop(web.id.clone()));
    do_step(&mut local, &Step::Drain(web.id.clone()));
    do_step(&mut local, &Step::Delete(web.id.clone()));
    do_step(&mut local, &Step::Drain(web.id));
}

#[test]
fn root_a_role_has_its_plan_checked_and_done_over_a_socket() {
    let Some(world) = World::new() else { return };
    let image = world.busybox(&[]);
    let (web, payments) = (component("web", image, &[]), component("payments", image, &[]));
    let release = Release {
        system: "paydesk".parse().unwrap(),
        serial: "paydesk-000042".parse().unwrap(),
        commit: "0123456789012345678901234567890123456789".parse().unwrap(),
        components: vec![payments.clone(), web.clone()],
        flows: vec![
            Flow { from: Origin::Edge, to: web.name.clone() },
            Flow { from: Origin::Component(web.name.clone()), to: payments.name.clone() },
        ],
        environments: vec![Environment {
            name: "production".parse().unwrap(),
            strategy: Strategy::BlueGreen,
            expose: BTreeMap::new(),
            watch_s: 1,
            error_limit_bp: 100,
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
    };
    let document = release.to_bytes().unwrap();
    let digest = release.digest().unwrap();
    let (ours, theirs) = UnixStream::pair().unwrap();
    let config = world.config.clone();
    let executor = thread::spawn(move || {
        let mut local = crate::local::Local::open(config).unwrap();
        let mut check = |request: &Request| match request {
            Request::Execute(Step::Start(spec)) => plan::check(spec, &document).map_err(|error| error.to_string()),
            _ => Ok(()),
        };
        serve(theirs, &mut local, &mut check)
    });
    let mut client = ExecutorClient::new(ours).unwrap();
    client.prepare().unwrap();
    let planned =
        |component, from_edge| rollout::instance::InstanceSpec { release: digest, from_edge, ..spec(component, 42, 1) };
    client.execute(&start(&planned(&payments, false))).unwrap();
    let target = client.observe().unwrap().instances[0].address;
    let mut front = planned(&web, true);
    front.peers.insert(peer_variable(&payments.name), vec![target]);
    client.execute(&start(&front)).unwrap();
    wait_until("both are well", || {
        client.observe().unwrap().instances.iter().all(|i| matches!(i.state, InstanceState::Healthy { .. }))
    });
    // What the release does not ask for is not done, whoever asks.
    let mut back = planned(&payments, false);
    back.id.number = 2;
    back.peers.insert(peer_variable(&web.name), vec![target]);
    let why = client.execute(&start(&back)).unwrap_err().to_string();
    assert_eq!(why, "release `paydesk-000042` has no flow from `payments` to the peer in `COUNTERSIGN_PEER_WEB`");
    let mut other = planned(&web, true);
    other.id.number = 2;
    other.component.command = vec!["/bin/sh".to_owned()];
    assert!(client.execute(&start(&other)).unwrap_err().to_string().contains("does not ask for"));
    assert_eq!(client.observe().unwrap().instances.len(), 2);
    let netns = client.client_netns("suite", &[target]).unwrap();
    assert!(netns.exists());
    assert_eq!(client.denied().unwrap().flows, []);
    client.log(&front.id).unwrap();
    client.purge(Keep::Nothing).unwrap();
    drop(client);
    executor.join().unwrap().unwrap();
    assert_eq!(left_on_host(&world), Vec::<String>::new());
}
