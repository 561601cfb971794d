//! Components that fill memory, fork without end, use the processor or do not want to stop.

use std::time::{Duration, Instant};

use rollout::{instance::InstanceState, step::Step};

use super::fixture::*;
use crate::local::shim;

#[test]
fn root_memory_ends_the_one_that_fills_it() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let spec = spec(&script("hog", world.busybox(&[]), "x=aaaaaaaaaaaaaaaa; while :; do x=$x$x; done"), 1, 1);
    do_step(&mut local, &start(&spec));
    assert_eq!(wait_exit(&mut local, &spec.id), (137, true));
    do_step(&mut local, &Step::Delete(spec.id));
}

#[test]
fn root_a_full_tmp_is_full_and_counts_as_memory() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let (said, _) =
        run_script(&world, &mut local, "dd if=/dev/zero of=/tmp/x bs=1M count=64 2>&1; stat -c 'has %s' /tmp/x");
    assert!(said.contains("No space left on device") && said.contains("has 4194304"), "{said}");
}

#[test]
fn root_a_fork_bomb_stays_within_its_limit_and_is_stopped() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let bomb = spec(
        &script(
            "bomb",
            world.busybox(&[]),
            "trap '' TERM; b() { b | b & b | b & }; b 2>/dev/null & while :; do :; done",
        ),
        1,
        1,
    );
    let other = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&bomb));
    do_step(&mut local, &start(&other));
    wait_healthy(&mut local, &other.id);
    let members = local.hierarchy.members(&local.cgroup(&bomb.id)).unwrap();
    assert!(members.len() <= 24, "{members:?}");
    let begun = Instant::now();
    do_step(&mut local, &Step::Stop(bomb.id.clone()));
    assert!(begun.elapsed() < Duration::from_secs(15));
    assert_eq!(local.hierarchy.members(&local.cgroup(&bomb.id)).unwrap(), Vec::<i32>::new());
    assert!(matches!(seen(&mut local, &bomb.id).unwrap().state, InstanceState::Exited { code: 137, .. }));
    do_step(&mut local, &Step::Delete(bomb.id));
    wait_healthy(&mut local, &other.id);
}

#[test]
fn root_the_processor_is_shared_as_asked() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let mut busy = script("busy", world.busybox(&[]), "while :; do :; done");
    busy.limits.cpu_percent = 20;
    let spec = spec(&busy, 1, 1);
    do_step(&mut local, &start(&spec));
    let pid = std::fs::read_to_string(local.files.folder(&spec.id).join("pid")).unwrap();
    let used = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap();
        let fields: Vec<u64> =
            stat.rsplit_once(')').unwrap().1.split_whitespace().map(|f| f.parse().unwrap_or(0)).collect();
        // In ticks of a hundredth of a second: user and system time.
        fields[11] + fields[12]
    };
    let (before, begun) = (used(), Instant::now());
    // Sixty ticks of work take three seconds at a fifth of a core, and well under one without a limit.
    while used() - before < 60 {
        assert!(begun.elapsed() < LIMIT);
        std::thread::yield_now();
    }
    assert!(begun.elapsed() > Duration::from_millis(2_200), "{:?}", begun.elapsed());
    end(&mut local, &spec.id);
}

#[test]
fn root_one_that_ends_when_asked_does_and_one_that_ignores_it_is_ended() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let mut polite =
        script("polite", world.busybox(&[]), "trap 'echo bye; exit 7' TERM; echo ready; while :; do sleep 0.05; done");
    polite.limits.stop_timeout_ms = 20_000;
    let polite = spec(&polite, 1, 1);
    let stubborn = spec(
        &script(
            "stubborn",
            world.busybox(&[]),
            "trap 'echo no' TERM INT HUP; echo ready; while :; do sleep 0.05; done",
        ),
        1,
        1,
    );
    for one in [&polite, &stubborn] {
        do_step(&mut local, &start(one));
        let begun = Instant::now();
        while !log(&local, &one.id).contains("ready") {
            assert!(begun.elapsed() < LIMIT);
            std::thread::yield_now();
        }
    }
    let begun = Instant::now();
    do_step(&mut local, &Step::Stop(polite.id.clone()));
    assert!(begun.elapsed() < Duration::from_secs(10));
    assert_eq!(wait_exit(&mut local, &polite.id), (7, false));
    assert!(log(&local, &polite.id).contains("bye"));
    let begun = Instant::now();
    do_step(&mut local, &Step::Stop(stubborn.id.clone()));
    assert!(begun.elapsed() >= Duration::from_millis(300));
    assert_eq!(wait_exit(&mut local, &stubborn.id), (137, false));
    assert!(log(&local, &stubborn.id).contains("no"));
}

#[test]
fn root_one_that_does_not_know_the_signal_is_not_waited_for() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    // As the first process of its namespace it would ignore what ends any other process.
    let mut plain = component("plain", world.busybox(&[]), &[]);
    plain.limits.stop_timeout_ms = 60_000;
    let spec = spec(&plain, 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let begun = Instant::now();
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert_eq!(wait_exit(&mut local, &spec.id), (137, false));
}

#[test]
fn root_exit_codes_are_told_as_they_are() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    for (text, wanted) in [
        ("exit 0", 0),
        ("exit 3", 3),
        ("exit 255", 255),
        ("sleep 0.2; exit 5", 5),
        ("sleep 0.2 & kill -9 $!; wait $!; exit $?", 137),
    ] {
        let (said, code) = run_script(&world, &mut local, text);
        assert_eq!(code, wanted, "{text}: {said}");
    }
}

#[test]
fn root_a_log_is_bounded() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let talk = script(
        "talk",
        world.busybox(&[]),
        "i=0; while [ $i -lt 14 ]; do dd if=/dev/zero bs=1M count=1 2>/dev/null; i=$((i+1)); done; echo last words",
    );
    let spec = spec(&talk, 1, 1);
    do_step(&mut local, &start(&spec));
    assert_eq!(wait_exit(&mut local, &spec.id), (0, false), "{}", shim::last_words(&local.files.folder(&spec.id)));
    let begun = Instant::now();
    while !log(&local, &spec.id).ends_with("last words\n") {
        assert!(begun.elapsed() < LIMIT);
        std::thread::yield_now();
    }
    let bytes: u64 = local.logs(&spec.id).iter().map(|path| std::fs::metadata(path).unwrap().len()).sum();
    assert!(bytes <= 8 << 20, "{bytes}");
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    assert!(log(&local, &spec.id).ends_with("last words\n"));
}

#[test]
fn root_one_that_never_gets_well_is_unhealthy_after_its_deadline_and_one_that_falls_ill_at_once() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let mut never = component("never", world.busybox(&[]), &[]);
    never.health.path = Some("/nothing".to_owned());
    never.health.deadline_ms = 400;
    let mut deaf = script("deaf", world.busybox(&[]), "sleep 1000");
    deaf.health.path = None;
    deaf.health.deadline_ms = 400;
    let rows =
        [(never, "not well within its deadline: `/nothing` answered 404"), (deaf, "not well within its deadline: ")];
    for (component, wanted) in rows {
        let spec = spec(&component, 1, 1);
        do_step(&mut local, &start(&spec));
        match wait_for(&mut local, &spec.id, |state| !matches!(state, InstanceState::Starting { .. })) {
            InstanceState::Unhealthy { why, .. } => assert!(why.starts_with(wanted), "{why}"),
            other => panic!("{other:?}"),
        }
    }
    let falls = script(
        "falls",
        world.busybox(&[]),
        "httpd -p 8080 -h /www; while [ ! -e /tmp/go ]; do sleep 0.05; [ -e /data/go ] && break; done; kill -9 -1; sleep 1000",
    );
    let mut falls = falls;
    falls.volumes.push(volume("/data", true));
    let ill = spec(&falls, 1, 1);
    do_step(&mut local, &start(&ill));
    wait_healthy(&mut local, &ill.id);
    put(&world.config.volumes_dir.join("production/paydesk/falls/data/go"), b"");
    match wait_for(&mut local, &ill.id, |state| !matches!(state, InstanceState::Healthy { .. })) {
        InstanceState::Unhealthy { why, .. } => assert!(why.contains("refused"), "{why}"),
        other => panic!("{other:?}"),
    }
}
