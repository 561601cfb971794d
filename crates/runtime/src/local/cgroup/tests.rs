//! The files of one tree (version 2), as `Documentation/admin-guide/cgroup-v2.rst` describes them, in a folder of our own.
//! The other arrangement is tried with real containers wherever a host has it.

use model::release::{Health, Limits};
use tempfile::TempDir;

use super::*;

const GROUP: &str = "/countersign/test/production.paydesk-000001.web.1";

fn unified(files: &[(&str, &str)]) -> (TempDir, Hierarchy) {
    let top = tempfile::tempdir().unwrap();
    let folder = top.path().join(GROUP.trim_start_matches('/'));
    fs::create_dir_all(&folder).unwrap();
    for (name, content) in files {
        set(&folder.join(name), content).unwrap();
    }
    let hierarchy = Hierarchy { top: top.path().to_owned(), layout: Layout::Unified };
    (top, hierarchy)
}

fn component() -> Component {
    Component {
        name: "web".parse().unwrap(),
        image: model::Digest::of(b"image"),
        command: Vec::new(),
        port: 80,
        health: Health { path: None, interval_ms: 1, timeout_ms: 1, deadline_ms: 1 },
        zone: "front".parse().unwrap(),
        replicas: 1,
        limits: Limits { memory_mib: 64, cpu_percent: 50, pids: 32, tmp_mib: 8, stop_timeout_ms: 1 },
        volumes: Vec::new(),
        migrations: Vec::new(),
        environment: Default::default(),
        secrets: Default::default(),
        values: Vec::new(),
        drain: None,
    }
}

#[test]
fn limits_of_one_tree_are_read_back() {
    let good =
        [("memory.max", "67108864\n"), ("cpu.max", "50000 100000\n"), ("pids.max", "32\n"), ("memory.swap.max", "0\n")];
    let with = |name: &str, content: &'static str| {
        let files: Vec<_> = good.iter().map(|(n, c)| (*n, if *n == name { content } else { c })).collect();
        let (_top, hierarchy) = unified(&files);
        hierarchy.differs(GROUP, &component()).unwrap()
    };
    assert_eq!(with("none", ""), None);
    let rows = [
        ("memory.max", "max\n", "its limit of memory is `max` instead of `67108864`"),
        ("cpu.max", "max 100000\n", "its limit of cpu is `max 100000` instead of `50000 100000`"),
        ("pids.max", "max\n", "its limit of pids is `max` instead of `32`"),
        ("memory.swap.max", "max\n", "its limit of swap is `max` instead of `0`"),
    ];
    for (name, content, why) in rows {
        assert_eq!(with(name, content).as_deref(), Some(why));
    }
    // A kernel that counts no swap has no such file; without any of the others nothing is known.
    let (_top, hierarchy) = unified(&good[..3]);
    assert_eq!(hierarchy.differs(GROUP, &component()).unwrap(), None);
    let (_top, hierarchy) = unified(&good[1..]);
    assert_eq!(hierarchy.differs(GROUP, &component()).unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn one_tree_tells_who_is_in_it_and_whether_memory_ran_out() {
    let events = "low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n";
    let (top, hierarchy) = unified(&[
        ("memory.events", events),
        ("cgroup.procs", "12\n345\n"),
        ("memory.swap.max", "max"),
        ("memory.oom.group", "0"),
    ]);
    assert!(hierarchy.out_of_memory(GROUP).unwrap());
    assert_eq!(hierarchy.members(GROUP).unwrap(), [12, 345]);
    assert!(hierarchy.holds(GROUP, 12).unwrap() && !hierarchy.holds(GROUP, 13).unwrap());
    hierarchy.tighten(GROUP).unwrap();
    let read = |name: &str| fs::read_to_string(top.path().join(GROUP.trim_start_matches('/')).join(name)).unwrap();
    assert_eq!((read("memory.swap.max"), read("memory.oom.group")), ("0".to_owned(), "1".to_owned()));
    assert!(!hierarchy.counts_swap());
    let (_top, calm) = unified(&[("memory.events", "oom_kill 0\n")]);
    assert!(!calm.out_of_memory(GROUP).unwrap());
    assert!(!calm.out_of_memory("/nothing").unwrap() && calm.members("/nothing").unwrap().is_empty());
}
