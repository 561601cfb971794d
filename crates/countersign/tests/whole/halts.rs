//! One person stops a rollout at once, also while the log does not answer; two people let it go on.

use std::{
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;

use crate::{
    installation::{Installation, PROGRAM, SHORT},
    wait::wait_for,
};

/// The agent waits a second for a log that hangs, and tells what it waits for after that.
const AT_ONCE: Duration = Duration::from_secs(4);

#[test]
fn root_one_person_halts_without_the_log_and_two_resume() {
    let it = Installation::start();
    it.first_release();
    it.write("version", "2");
    it.push("Version 2");
    let serial = "visits-000002";
    it.approve(serial);
    it.wait_milestone(serial, "begun");

    it.signal("process log", Signal::SIGSTOP);
    let before = Instant::now();
    let mut halt = Command::new(PROGRAM)
        .args(["halt", "--dir"])
        .arg(it.dir())
        .arg("--key")
        .arg(it.key("olga"))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for(
        "the agent is halted",
        SHORT,
        || format!("{:?}", it.status()),
        || {
            let status = it.status()?;
            let waits = status["agent"]["visits in production"]["waits"].to_string();
            waits.contains("halt").then_some(())
        },
    );
    assert!(before.elapsed() < AT_ONCE, "the agent went on for {} ms", before.elapsed().as_millis());
    wait_for("the one who halts is told", SHORT, || format!("{:?}", it.status()), || halt.try_wait().unwrap());
    let said = crate::installation::both(&halt.wait_with_output().unwrap());
    assert!(said.contains("halted by olga"), "{said}");

    it.signal("process log", Signal::SIGCONT);
    wait_for("the halt is in the log", SHORT, || it.story(), || (!it.claims("halt").is_empty()).then_some(()));
    assert!(!it.milestones(serial).iter().any(|m| m == "live"), "{:?}", it.milestones(serial));

    let said = it.ok_as("olga", &["resume"]);
    assert!(said.contains("still halted"), "an operator is not of the quorum: {said}");
    let said = it.ok_as("cora", &["resume"]);
    assert!(said.contains("still halted"), "{said}");
    let said = it.ok_as("cora", &["resume"]);
    assert!(said.contains("still halted"), "one person twice: {said}");
    assert!(!it.milestones(serial).iter().any(|m| m == "live"), "{:?}", it.milestones(serial));
    let said = it.ok_as("dan", &["resume"]);
    assert!(said.contains("it goes on"), "{said}");
    assert_eq!(it.wait_end(serial), "live", "{}", it.story());

    // Going back is no step forward: one person orders it while everything is halted, and nothing else moves.
    it.ok_as("olga", &["halt", "visits", "--environment", "production"]);
    it.ok_as("olga", &["rollback", "--yes", "--wait-s", "60"]);
    assert_eq!(it.visit("visit-gone-back"), ["visits-000001", "visits-000001"]);
    let status = it.ok(&["status"]);
    assert!(status.contains("HALTED by statement"), "{status}");
    it.ok(&["audit"]);
}
