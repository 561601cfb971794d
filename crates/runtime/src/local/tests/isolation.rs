//! What a component can not do, tried from inside of it, and what the driver notices from outside.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use rollout::{
    instance::{InstanceState, edge_address},
    step::Step,
};

use super::fixture::*;
use crate::{
    driver::Driver as _,
    local::{Keep, Tools, command, record::Phase},
};

#[test]
fn root_nothing_but_tmp_can_be_written_and_no_privileges_are_there() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let (said, code) = run_script(
        &world,
        &mut local,
        "for f in /x /bin/x /etc/x /dev/x /run/secrets/x /sys/x /proc/sys/kernel/hostname; do (echo 1 > $f) 2>/dev/null && echo wrote $f; done
         echo 1 > /tmp/x && echo tmp works; echo 1 > /dev/shm/x && echo shm works
         cp /bin/busybox /tmp/b; chmod 755 /tmp/b; /tmp/b true 2>/dev/null && echo ran from tmp
         mount -o remount,rw / 2>/dev/null && echo remounted
         unshare -Ur true 2>/dev/null && echo made a user namespace
         chroot / true 2>/dev/null && echo changed root
         mknod /tmp/n c 1 3 2>/dev/null && echo made a node
         id -u; id -g; cat /proc/self/status | grep -E '^(Cap|NoNewPrivs|Seccomp:)'; echo pid $$; hostname; ls /proc | grep -cE '^[0-9]+$'
         cat /proc/kcore 2>/dev/null | head -c 1; ls /sys/firmware; ls -d /tmp; stat -c %a /tmp
         echo files $(ls /proc/1/fd)",
    );
    assert_eq!(code, 0, "{said}");
    for never in ["wrote", "ran from tmp", "remounted", "made a", "changed root"] {
        assert!(!said.contains(never), "{said}");
    }
    for always in [
        "tmp works",
        "shm works",
        "NoNewPrivs:\t1",
        "Seccomp:\t2",
        "CapEff:\t0000000000000000",
        "CapBnd:\t0000000000000000",
        "pid 1\n",
        "probe\n",
        "1777",
    ] {
        assert!(said.contains(always), "no `{always}` in {said}");
    }
    assert!(said.contains("\n300000\n300000\n"), "{said}");
    // Input, output and errors, and the folder that `ls` lists; nothing of the executor's.
    let open = said.lines().find(|line| line.starts_with("files")).unwrap();
    assert!(open.split(' ').skip(1).all(|file| file.parse::<u32>().unwrap() <= 3), "{said}");
}

#[test]
fn root_a_root_stays_as_it_is_even_if_root_on_the_host_mounts_it_again() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let spec = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let pid = fs::read_to_string(local.files.folder(&spec.id).join("pid")).unwrap();
    // As root, in the component's own mount namespace.
    let remount = Command::new("nsenter")
        .args(["-t", pid.trim(), "-m", "/bin/busybox", "mount", "-o", "remount,rw", "/"])
        .output()
        .unwrap();
    let write =
        Command::new("nsenter").args(["-t", pid.trim(), "-m", "/bin/busybox", "touch", "/bin/x"]).output().unwrap();
    assert!(!write.status.success(), "{remount:?} {write:?}");
    assert!(String::from_utf8_lossy(&write.stderr).contains("Read-only file system"), "{write:?}");
    // And through the host's own mount of it.
    let root = local.files.folder(&spec.id).join("root");
    let host = Command::new("mount").args(["-o", "remount,rw"]).arg(&root).output().unwrap();
    assert!(fs::OpenOptions::new().create_new(true).write(true).open(root.join("x")).is_err(), "{host:?}");
}

#[test]
fn root_what_is_beside_an_instance_is_in_no_cgroup_of_the_executor() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let spec = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let Phase::Running(running) = &local.records[&spec.id].phase else { panic!() };
    let groups = |pid: i32| fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let managed = |text: &str| {
        let line = |start: &str| text.lines().find(|line| line.contains(start)).map(str::to_owned);
        line(":name=systemd:").or_else(|| line("0::")).unwrap()
    };
    let shims = format!("/countersign/{}/shims", world.config.scope);
    assert!(managed(&groups(running.shim.pid())).ends_with(&shims));
    let own = managed(&groups(running.init.as_ref().unwrap().pid()));
    assert!(own.ends_with(&format!("/countersign/{}/{}", world.config.scope, spec.id)), "{own}");
}

#[test]
fn root_drift_is_seen() {
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let spec = spec(&component("web", world.busybox(&[]), &[]), 1, 1);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let drift = |local: &mut crate::local::Local| match seen(local, &spec.id).unwrap().state {
        InstanceState::Drifted { what } => what,
        other => format!("{other:?}"),
    };
    // Another limit.
    let limit = ["/sys/fs/cgroup/pids", "/sys/fs/cgroup"]
        .map(|top| Path::new(top).join(local.cgroup(&spec.id).trim_start_matches('/')).join("pids.max"))
        .into_iter()
        .find(|path| path.exists())
        .unwrap();
    put(&limit, b"99");
    assert_eq!(drift(&mut local), "its limit of pids is `99` instead of `24`");
    put(&limit, b"24");
    wait_healthy(&mut local, &spec.id);
    // A process beside it, brought in by root without the filter.
    let pid = fs::read_to_string(local.files.folder(&spec.id).join("pid")).unwrap();
    let mut other = Command::new("nsenter").args(["-t", pid.trim(), "-p", "-m", "/bin/sleep", "1000"]).spawn().unwrap();
    let members = limit.with_file_name("cgroup.procs");
    put(&members, other.id().to_string().as_bytes());
    assert!(drift(&mut local).contains("without the system call filter"), "{}", drift(&mut local));
    other.kill().unwrap();
    other.wait().unwrap();
    do_step(&mut local, &Step::Stop(spec.id.clone()));
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    // A root's file that was touched is hashed again, and one that was changed is told and never used.
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
    let roots: Vec<_> =
        fs::read_dir(world.config.state_dir.join("roots")).unwrap().flatten().map(|entry| entry.path()).collect();
    let root = roots.iter().find(|path| path.extension().is_some_and(|kind| kind == "erofs")).unwrap();
    let mut content = fs::read(root).unwrap();
    put(root, &content);
    wait_healthy(&mut local, &spec.id);
    let last = content.len() - 1;
    content[last] ^= 1;
    put(root, &content);
    assert!(
        drift(&mut local).starts_with("the root has been changed: its file has the digest"),
        "{}",
        drift(&mut local)
    );
    end(&mut local, &spec.id);
    do_step(&mut local, &start(&spec));
    wait_healthy(&mut local, &spec.id);
}

#[test]
fn root_a_component_is_told_what_it_needs_and_no_more() {
    let Some(world) = World::new() else { return };
    world.secret("pay-token", b"in memory alone");
    let mut local = world.open();
    let mut probe = script(
        "probe",
        world.busybox(&[]),
        "env; cat $TOKEN_FILE; echo; stat -c '%a %u %F' $TOKEN_FILE; touch /run/secrets/x 2>&1; grep -q ' /run/secrets tmpfs' /proc/mounts && echo in memory; exit 0",
    );
    probe.environment.insert("CURRENCY".to_owned(), "EUR".to_owned());
    probe.environment.insert("PORT".to_owned(), "1".to_owned());
    probe.secrets.insert("TOKEN_FILE".to_owned(), "pay-token".parse().unwrap());
    let mut spec = spec(&probe, 42, 1);
    spec.peers.insert(
        "COUNTERSIGN_PEER_LEDGER".to_owned(),
        [80, 81].map(|port| (edge_address(world.config.fabric), port).into()).to_vec(),
    );
    do_step(&mut local, &start(&spec));
    assert_eq!(wait_exit(&mut local, &spec.id), (0, false), "{}", log(&local, &spec.id));
    let said = log(&local, &spec.id);
    for line in [
        "COUNTERSIGN_SERIAL=paydesk-000042\n",
        "COUNTERSIGN_COMPONENT=probe\n",
        "COUNTERSIGN_ENVIRONMENT=production\n",
        &format!("COUNTERSIGN_PEER_LEDGER={0}:80,{0}:81\n", edge_address(world.config.fabric)),
        "PORT=8080\n",
        "CURRENCY=EUR\n",
        "FROM_IMAGE=yes\n",
        "TOKEN_FILE=/run/secrets/pay-token\n",
        "in memory alone\n400 300000 regular file\n",
        "Read-only file system\n",
        "\nin memory\n",
    ] {
        assert!(said.contains(line), "no `{line}` in {said}");
    }
    assert!(
        !said.contains("USER=root") && said.lines().filter(|line| line.contains("in memory alone")).count() == 1,
        "{said}"
    );
    let folder = local.files.folder(&spec.id);
    for entry in fs::read_dir(&folder).unwrap().flatten().filter(|entry| entry.path().is_file()) {
        let content = fs::read(entry.path()).unwrap();
        let has_it = content.windows(15).any(|part| part == b"in memory alone");
        assert_eq!(has_it, entry.file_name() == "log", "{entry:?}");
    }
    do_step(&mut local, &Step::Delete(spec.id.clone()));
    assert!(!folder.exists());
}

#[test]
fn root_a_secret_that_others_can_read_is_not_used() {
    use std::os::unix::fs::symlink;
    let Some(world) = World::new() else { return };
    let mut local = world.open();
    let mut web = component("web", world.busybox(&[]), &[]);
    web.secrets.insert("TOKEN_FILE".to_owned(), "pay-token".parse().unwrap());
    let spec = spec(&web, 1, 1);
    let path = world.config.secrets_dir.join("pay-token");
    assert!(refused(&mut local, &start(&spec)).starts_with("there is no secret `pay-token`; put it into the file"));
    world.secret("pay-token", b"x");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(
        refused(&mut local, &start(&spec)).contains("others than its owner can reach it (mode 640): `chmod 600` it")
    );
    world.secret("other", b"x");
    fs::remove_file(&path).unwrap();
    symlink(world.config.secrets_dir.join("other"), &path).unwrap();
    assert!(refused(&mut local, &start(&spec)).starts_with("the secret `pay-token` can not be read"));
    fs::remove_file(&path).unwrap();
    world.secret("pay-token", &vec![b'x'; 65_537]);
    assert!(refused(&mut local, &start(&spec)).contains("it is over 65536 bytes"));
    assert_eq!(observed(&mut local).instances, []);
    world.secret("pay-token", b"x");
    do_step(&mut local, &start(&spec));
}

/// A `runc` that leaves something of the bundle out before it does what it is told.
fn weakened(world: &World, edit: &str) -> PathBuf {
    let path = world.folder.path().join("weak-runc");
    let real = command::found(Path::new("runc")).unwrap();
    put(
        &path,
        format!("#!/bin/sh\n[ ! -e config.json ] || sed -i '{edit}' config.json\nexec {} \"$@\"\n", real.display())
            .as_bytes(),
    );
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

#[test]
fn root_what_does_not_run_as_asked_does_not_count_as_started_and_is_ended() {
    let Some(mut world) = World::new() else { return };
    let image = world.busybox(&[]);
    let web = spec(&component("web", image, &[]), 1, 1);
    let rows = [
        ("s/\"seccomp\":/\"left-out\":/", "runs without the system call filter"),
        ("s/\"noNewPrivileges\":true/\"noNewPrivileges\":false/", "may gain privileges"),
        ("s/\"bounding\":\\[\\]/\"bounding\":[\"CAP_CHOWN\"]/", "has capabilities"),
        ("s/\"uid\":300000/\"uid\":300001/", "runs as another user or group than 300000"),
        ("s/\"gid\":300000/\"gid\":0/", "runs as another user or group than 300000"),
        ("s/\"limit\":24/\"limit\":25/", "its limit of pids is `25` instead of `24`"),
        ("s/50331648/67108864/g", "its limit of memory is `67108864` instead of `50331648`"),
        ("s/\"quota\":100000/\"quota\":200000/", "its limit of cpu is `200000 100000` instead of `100000 100000`"),
        ("s/{\"type\":\"ipc\"},\\?//", "it shares the host`s ipc namespace"),
        ("s/{\"type\":\"uts\"},\\?//; s/\"hostname\":\"web\",//", "it shares the host`s uts namespace"),
        ("s/,\"path\":\"[^\"]*netns[^\"]*\"//", "it is not in the network namespace made for it"),
        ("s/\"cgroupsPath\":\"[^\"]*\"/\"cgroupsPath\":\"\\/countersign\\/elsewhere\"/", "it is not in its cgroup"),
    ];
    for (edit, why) in rows {
        world.config.tools.runc = weakened(&world, edit);
        let mut local = world.open();
        let said = local.execute(&start(&web)).map_err(|error| error.chain()).expect_err(edit);
        assert!(said.contains(&why.replace('`', "'")) || said.contains(why), "{edit}: {said}");
        assert_eq!(observed(&mut local).instances, [], "{edit}");
        local.purge(Keep::Nothing).unwrap();
        drop(local);
        let elsewhere = left_on_host(&world);
        assert_eq!(elsewhere, Vec::<String>::new(), "{edit}");
    }
    world.config.tools = Tools::default();
    let mut local = world.open();
    do_step(&mut local, &start(&web));
    wait_healthy(&mut local, &web.id);
}
