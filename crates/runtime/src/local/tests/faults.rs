//! Every program that the driver runs fails in turn, before and after its work; the executor is killed at each of them,
//! opened twice, and started again after the host was; each time everything converges.

use std::{
    fs,
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use nix::{
    mount::{MsFlags, mount},
    sys::signal::Signal,
};
use rollout::{
    instance::{InstanceSpec, InstanceState},
    step::Step,
};

use super::{
    faulty::{Fault, Faulty},
    fixture::*,
};
use crate::{
    driver::{Driver as _, DriverError},
    local::{Local, LocalConfig, Tools, record::Phase},
};

fn plan(world: &World) -> InstanceSpec {
    let mut web = component("web", world.busybox(&[]), &[]);
    web.volumes.push(volume("/data", true));
    web.secrets.insert("TOKEN_FILE".to_owned(), "pay-token".parse().unwrap());
    web.limits.stop_timeout_ms = 20;
    world.secret("pay-token", b"x");
    spec(&web, 1, 1)
}

/// The life of an instance.
fn life(spec: &InstanceSpec) -> [Step; 5] {
    let (environment, component, before) =
        (spec.id.environment.clone(), spec.id.component.clone(), spec.id.serial.clone());
    [
        Step::SaveRestorePoint {
            environment: environment.clone(),
            component: component.clone(),
            before: before.clone(),
        },
        start(spec),
        Step::Stop(spec.id.clone()),
        Step::Delete(spec.id.clone()),
        Step::Restore { environment, component, before },
    ]
}

/// A whole life without faults; nothing is left of what a fault before it has begun.
fn converges(world: &World, spec: &InstanceSpec, what: &str) {
    let mut local = world.open();
    for instance in observed(&mut local).instances {
        assert!(!matches!(instance.state, InstanceState::Drifted { .. }), "{what}: {instance:?}");
    }
    do_step(&mut local, &start(spec));
    // It had ended before; the plan deletes such an instance and starts it again.
    if let InstanceState::Exited { .. } = seen(&mut local, &spec.id).unwrap().state {
        do_step(&mut local, &Step::Delete(spec.id.clone()));
        do_step(&mut local, &start(spec));
    }
    wait_healthy(&mut local, &spec.id);
    let group = local.cgroup(&spec.id);
    assert_eq!(local.hierarchy.members(&group).unwrap().len(), 1, "{what}");
    for step in life(spec).iter().skip(2) {
        do_step(&mut local, step);
    }
    assert_eq!(observed(&mut local).instances, [], "{what}");
    local.fabric.remove().unwrap();
    drop(local);
    let left: Vec<String> =
        left_on_host(world).into_iter().filter(|left| !left.starts_with("/sys/fs/cgroup")).collect();
    assert_eq!(left, Vec::<String>::new(), "{what}");
}

/// Each program in turn has this fault while an instance lives; then a whole life works.
fn fails_in_turn(fault: Fault) {
    let Some(mut world) = World::new() else { return };
    let (spec, faulty, whole) = (plan(&world), Faulty::new(&world), Tools::default());
    for at in 1.. {
        world.config.tools = faulty.tools(fault, at);
        let mut local = world.open();
        let failed = life(&spec).iter().find_map(|step| local.execute(step).err());
        let reached = faulty.count() >= at;
        drop(local);
        world.config.tools = whole.clone();
        converges(&world, &spec, &format!("{fault:?} {at} {:?}", failed.map(|error| error.chain())));
        if !reached {
            assert!(at > 15, "only {at} programs were run");
            break;
        }
    }
}

#[test]
fn root_every_program_fails_in_turn_and_the_same_steps_work_afterwards() {
    fails_in_turn(Fault::Lost);
}

#[test]
fn root_every_program_works_but_fails_in_turn_and_the_same_steps_work_afterwards() {
    fails_in_turn(Fault::DoneButFailed);
}

/// Not a test by itself: the executor that the next test kills. What it is to do is in its environment.
#[test]
fn an_executor_to_be_killed() {
    let Some(folder) = std::env::var_os("COUNTERSIGN_TO_BE_KILLED").map(PathBuf::from) else { return };
    let faulty = folder.join("faulty");
    put(&faulty.join("executor"), std::process::id().to_string().as_bytes());
    let spec: InstanceSpec = serde_json::from_slice(&fs::read(folder.join("spec")).unwrap()).unwrap();
    let at = |name: &str| folder.join(name);
    let number: u8 = std::env::var("COUNTERSIGN_FABRIC").unwrap().parse().unwrap();
    let tool = |name: &str| faulty.join(name);
    let config = LocalConfig {
        state_dir: at("state"),
        images_dir: at("images"),
        volumes_dir: at("volumes"),
        restore_dir: at("restore"),
        secrets_dir: at("secrets"),
        fabric: [100, number],
        scope: format!("test-{number}"),
        first_uid: 300_000,
        tools: Tools {
            runc: tool("runc"),
            ip: tool("ip"),
            nft: tool("nft"),
            mkfs_erofs: tool("mkfs.erofs"),
            mount: tool("mount"),
            cp: tool("cp"),
        },
        clock: std::sync::Arc::new(HostClock),
    };
    let mut local = Local::open(config).unwrap();
    for step in life(&spec) {
        do_step(&mut local, &step);
    }
}

/// An executor is killed at each program in turn; opened again it converges, and a whole life works.
fn killed_in_turn(fault: Fault) {
    let Some(world) = World::new() else { return };
    let (spec, faulty) = (plan(&world), Faulty::new(&world));
    put(&world.folder.path().join("spec"), &serde_json::to_vec(&spec).unwrap());
    for at in 1.. {
        faulty.tools(fault, at);
        let ended = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "local::tests::faults::an_executor_to_be_killed", "--nocapture"])
            .env("COUNTERSIGN_TO_BE_KILLED", world.folder.path())
            .env("COUNTERSIGN_FABRIC", world.config.fabric[1].to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .unwrap();
        let killed = ended.signal() == Some(Signal::SIGKILL as i32);
        assert!(killed || ended.success(), "{fault:?} {at}: {ended}");
        converges(&world, &spec, &format!("{fault:?} {at}"));
        if !killed {
            assert!(at > 15, "only {at} programs were run");
            break;
        }
    }
}

#[test]
fn root_an_executor_killed_before_any_program_converges_when_it_is_opened_again() {
    killed_in_turn(Fault::KilledBefore);
}

#[test]
fn root_an_executor_killed_after_any_program_converges_when_it_is_opened_again() {
    killed_in_turn(Fault::KilledAfter);
}

#[test]
fn root_an_executor_opened_again_sees_what_it_saw_before() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let web = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    let ends = spec(&script("ends", world.busybox(&[]), "while [ ! -e /data/go ]; do sleep 0.02; done; exit 9"), 1, 1);
    let mut ends = ends;
    ends.component.volumes.push(volume("/data", true));
    do_step(&mut local, &start(&web));
    do_step(&mut local, &start(&ends));
    wait_healthy(&mut local, &web.id);
    let before = observed(&mut local).instances;
    assert!(
        matches!(Local::open(world.config.clone()), Err(DriverError::Refused(why)) if why.contains("another executor uses"))
    );
    drop(local);
    // Ends while nobody looks; its code is kept by the process beside it.
    put(&world.config.volumes_dir.join("production/paydesk/ends/data/go"), b"");
    let mut local = world.open();
    assert_eq!(seen(&mut local, &web.id), before.iter().find(|instance| instance.id == web.id).cloned());
    assert_eq!(wait_exit(&mut local, &ends.id), (9, false));
    let exited = seen(&mut local, &ends.id);
    drop(local);
    let mut local = world.open();
    assert_eq!(seen(&mut local, &ends.id), exited);
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
}

#[test]
fn root_without_the_process_beside_it_an_instance_has_drifted_and_can_be_ended() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let web = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
    let Phase::Running(running) = local.records[&web.id].phase.clone() else { panic!() };
    running.shim.kill_group().unwrap();
    let state = wait_for(&mut local, &web.id, |state| !matches!(state, InstanceState::Healthy { .. }));
    assert_eq!(
        state,
        InstanceState::Drifted { what: "the process that keeps its log and exit code has ended".to_owned() }
    );
    do_step(&mut local, &Step::Stop(web.id.clone()));
    assert_eq!(wait_exit(&mut local, &web.id), (255, false));
    do_step(&mut local, &Step::Delete(web.id.clone()));
}

#[test]
fn root_after_the_host_was_started_again_everything_has_ended_and_can_be_deleted() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let web = plan(&world);
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
    // What a start of the host takes away: processes, mounts, namespaces, cgroups; and the boot id is another.
    let Phase::Running(running) = local.records[&web.id].phase.clone() else { panic!() };
    running.init.as_ref().unwrap().signal(Signal::SIGKILL).unwrap();
    running.shim.kill_group().unwrap();
    let group = local.cgroup(&web.id);
    local.hierarchy.remove(&group).unwrap();
    local.fabric.remove().unwrap();
    let folder = local.files.folder(&web.id);
    for mount in ["root", "secrets"] {
        crate::local::root::unmount(&folder.join(mount)).unwrap();
    }
    drop(local);
    for file in ["pid", "exit"] {
        match fs::remove_file(folder.join(file)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => panic!("{error}"),
            _ => {}
        }
    }
    let text = fs::read_to_string(folder.join("record.json")).unwrap();
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    put(&folder.join("record.json"), text.replace(boot.trim(), "00000000-0000-0000-0000-000000000000").as_bytes());
    let mut local = world.open();
    assert!(matches!(
        seen(&mut local, &web.id).unwrap().state,
        InstanceState::Exited { code: 255, out_of_memory: false, .. }
    ));
    do_step(&mut local, &start(&web));
    assert!(matches!(seen(&mut local, &web.id).unwrap().state, InstanceState::Exited { .. }));
    do_step(&mut local, &Step::Delete(web.id.clone()));
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
}

#[test]
fn root_a_full_disk_starts_nothing_and_stops_no_deletion() {
    let Some(world) = World::new() else { return };
    let web = plan(&world);
    let state = &world.config.state_dir;
    fs::create_dir_all(state).unwrap();
    mount(Some("small"), state, Some("tmpfs"), MsFlags::empty(), Some("size=16m")).unwrap();
    let mut local = world.open();
    let fill = |local: &mut Local| {
        let mut full =
            fs::OpenOptions::new().create(true).append(true).open(local.config.state_dir.join("filler")).unwrap();
        while full.write_all(&[0; 4_096]).is_ok() {}
    };
    fill(&mut local);
    let said = refused(&mut local, &start(&web));
    assert!(said.contains("No space left on device"), "{said}");
    assert_eq!(observed(&mut local).instances, []);
    fs::remove_file(state.join("filler")).unwrap();
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
    fill(&mut local);
    // It can not be written down that it has ended, but it has, and deleting it makes room.
    let stopped = local.execute(&Step::Stop(web.id.clone()));
    assert!(stopped.is_err_and(|error| error.chain().contains("No space left on device")));
    local.purge(crate::local::Keep::Nothing).unwrap();
    fs::remove_file(state.join("filler")).unwrap();
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
    local.purge(crate::local::Keep::Nothing).unwrap();
    drop(local);
    crate::local::root::unmount(state).unwrap();
    assert_eq!(left_on_host(&world), Vec::<String>::new());
}

#[test]
fn root_what_does_not_fit_is_refused_with_what_to_do() {
    let Some(mut world) = World::new() else { return };
    let good = plan(&world);
    let mut local = world.open();
    do_step(&mut local, &start(&good));
    let route = Step::Route(model::route::RouteTable { generation: 1, revision: 1, routes: Vec::new() });
    let edited = |edit: &dyn Fn(&mut InstanceSpec)| {
        let mut spec = good.clone();
        edit(&mut spec);
        start(&spec)
    };
    let rows = [
        (route, "the edge takes route tables; this driver runs components"),
        (Step::Delete(good.id.clone()), "runs: stop it before it is deleted"),
        (edited(&|spec| spec.component.port = 81), "was started otherwise: stop and delete it first"),
        (
            edited(&|spec| (spec.id.number, spec.component.limits.memory_mib) = (2, 1)),
            "the limits of `web` are too low",
        ),
        (edited(&|spec| (spec.id.number, spec.component.limits.pids) = (2, 0)), "the limits of `web` are too low"),
        (edited(&|spec| spec.id.component = "other".parse().unwrap()), "names another component than `web`"),
    ];
    for (step, why) in rows {
        assert!(refused(&mut local, &step).contains(why), "{why}");
    }
    end(&mut local, &good.id);
    drop(local);
    world.config.tools.runc = PathBuf::from("/nowhere/runc");
    let mut local = world.open();
    assert!(local.prepare().unwrap_err().to_string().contains("install runc"));
    assert_eq!(
        refused(&mut local, &start(&good)),
        "`/nowhere/runc` is not on this host; install runc (on Debian and Ubuntu: `apt-get install runc`)"
    );
    drop(local);
    world.config.tools = Tools::default();
    let good = &world.config;
    let rows = [
        (LocalConfig { scope: "Not A Scope".to_owned(), ..good.clone() }, "is not a scope"),
        (LocalConfig { scope: String::new(), ..good.clone() }, "is not a scope"),
        (LocalConfig { first_uid: 1_000, ..good.clone() }, "user numbers from 1000 may belong to others"),
    ];
    for (config, why) in rows {
        match Local::open(config) {
            Err(error) => assert!(error.to_string().contains(why)),
            Ok(_) => panic!("{why}"),
        }
    }
}
