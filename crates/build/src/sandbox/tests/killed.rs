//! An executor that is killed with a command running, and the next one that finds what it left.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{Place, run, sweep};

/// The folder of the test that starts this program again, for the executor that it is to be.
const PLACE: &str = "COUNTERSIGN_TEST_PLACE";
/// A killed process is gone long before, on any machine.
const LIMIT: Duration = Duration::from_secs(20);

/// The executor to be killed; nothing where no other test has started it.
#[test]
fn as_an_executor_to_be_killed() {
    let Some(root) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let Some(place) = Place::new() else { return };
    let mut rules = place.rules.clone();
    rules.root = root.join("root");
    rules.state = root.join("state");
    let mut plan = place.plan("echo it runs; sleep 1000");
    plan.workspace = rules.root.join("ws");
    plan.log = rules.root.join("log");
    #[expect(clippy::print_stderr, reason = "this is how the other test is told")]
    run(&plan, &rules, &mut |line| eprintln!("{line}")).unwrap();
}

/// The processes of the sandboxes of an executor.
fn processes(executor: u32) -> Vec<String> {
    let mut found = Vec::new();
    for parent in ["/sys/fs/cgroup/countersign-sandbox", "/sys/fs/cgroup/pids/countersign-sandbox"] {
        for group in fs::read_dir(parent).into_iter().flatten().flatten() {
            if group.file_name().to_str().unwrap().ends_with(&format!(".{executor}")) {
                let listed = fs::read_to_string(group.path().join("cgroup.procs")).unwrap_or_default();
                found.extend(listed.lines().map(str::to_owned));
            }
        }
    }
    found
}

fn wait_until_gone(process: &str) {
    let started = Instant::now();
    while Path::new("/proc").join(process).join("exe").exists() {
        assert!(started.elapsed() < LIMIT, "process {process} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_a_killed_executor_left_is_ended_by_the_next() {
    let Some(place) = Place::new() else { return };
    let root = place.dir.path().canonicalize().unwrap();
    let mut executor = Command::new(std::env::current_exe().unwrap());
    executor.args(["sandbox::tests::killed::as_an_executor_to_be_killed", "--exact", "--nocapture"]).env(PLACE, &root);
    let mut executor = executor.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut lines = BufReader::new(executor.stderr.take().unwrap()).lines();
    assert!(lines.any(|line| line.unwrap() == "it runs"), "the command was not started");
    executor.kill().unwrap();
    executor.wait().unwrap();

    let left = processes(executor.id());
    assert!(!left.is_empty(), "the command went with its executor, so there is nothing to check");
    sweep(&place.rules.state).unwrap();
    assert!(processes(executor.id()).is_empty());
    for process in &left {
        wait_until_gone(process);
    }
    assert_eq!(fs::read_dir(&place.rules.state).unwrap().count(), 0);
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(root.to_str().unwrap()), "{mounts}");
    // Another command runs in the same workspace as if nothing had been.
    fs::remove_file(place.rules.root.join("log")).unwrap();
    assert!(place.run(&place.plan("true")).0.succeeded());
    sweep(&root.join("never-used")).unwrap();
}
