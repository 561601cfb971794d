//! Staging on one host and production on another, over one log: from the one to the other on the same digests, after its
//! soak, and nothing that went back there. The hosts are two folders with an executor, networks and an edge each.

use std::{fs, os::unix::fs::symlink, path::PathBuf, process::Command};

use serde_json::Value;

use crate::{
    fabric::Fabric,
    installation::{Installation, LONG, PROGRAM, both, charter_hash, free_ports, run},
    left::left_behind,
    wait::wait_for,
};

/// How long staging must have run what production gets: several ticks, and a few seconds of the test.
const SOAK_S: u64 = 4;

/// The second host.
struct Host {
    dir: PathBuf,
    scope: String,
    #[expect(dead_code, reason = "its networks are let go of when this ends")]
    fabric: Fabric,
}

impl Host {
    /// As an administrator sets it up: the charter, settings, the agent's own key, and what the builder made.
    fn join(it: &Installation) -> Self {
        let dir = it.path("e");
        fs::create_dir_all(dir.join("keys")).unwrap();
        let mut scope = model::Digest::of(dir.canonicalize().unwrap().to_string_lossy().as_bytes()).short();
        scope.truncate(8);
        let fabric = Fabric::take(u8::from_str_radix(&scope[..2], 16).unwrap());
        fs::copy(it.dir().join("charter.jsonl"), dir.join("charter.jsonl")).unwrap();
        fs::copy(it.path("second"), dir.join("keys/agent.key")).unwrap();
        symlink(it.dir().join("images"), dir.join("images")).unwrap();
        let mut settings: Value = serde_json::from_slice(&fs::read(it.dir().join("settings.json")).unwrap()).unwrap();
        settings["host"] = "second".into();
        settings["log"] = format!("http://{}", it.front).into();
        settings["fabric"] = serde_json::json!(fabric.prefix());
        fs::write(dir.join("settings.json"), settings.to_string()).unwrap();
        let host = Self { dir, scope, fabric };
        host.ok(&["up", "--detach"]);
        host
    }

    fn ok(&self, args: &[&str]) -> String {
        let output = Command::new(PROGRAM).args(args).arg("--dir").arg(&self.dir).output().unwrap();
        assert!(output.status.success(), "{args:?}: {}", both(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The last lines of what its processes print.
    fn story(&self) -> String {
        let mut story = String::new();
        for entry in fs::read_dir(self.dir.join("output")).into_iter().flatten().flatten() {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            let lines: Vec<&str> = text.lines().collect();
            for line in &lines[lines.len().saturating_sub(12)..] {
                story += &format!("second {}: {line}\n", entry.file_name().to_string_lossy());
            }
        }
        story + &fs::read_to_string(self.dir.join("status/agent/status.json")).unwrap_or_default()
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.story());
        }
        let charter = charter_hash(&self.dir).unwrap();
        let steps: [&[&str]; 2] = [&["down"], &["executor", "agent", "components", "--purge", "--charter", &charter]];
        let mut troubles = Vec::new();
        for args in steps {
            let output = Command::new(PROGRAM).args(args).arg("--dir").arg(&self.dir).output().unwrap();
            if !output.status.success() {
                troubles.push(both(&output));
            }
        }
        troubles.extend(left_behind(&self.dir, &self.scope));
        if std::thread::panicking() {
            eprintln!("while cleaning: {troubles:#?}");
        } else {
            assert!(troubles.is_empty(), "{troubles:#?}");
        }
    }
}

/// Staging before production, an agent for each, each with a key of its own.
fn two_hosts() -> (Installation, Host) {
    let it = Installation::make_edited(|it, text| {
        run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-C", "", "-f"]).arg(it.path("second")));
        let agent = "agent = { role = \"agent\", controllers = [\"olga\"], host = \"main\"";
        let production = "[[environments]]\nname = \"production\"\n";
        assert!(text.contains(agent) && text.contains(production), "{text}");
        let far = agent.replace("agent = {", "far = {").replace("\"main\"", "\"second\"");
        let agents = format!("{far}, key = \"second.pub\", environments = [\"production\"] }}\n{agent}");
        let staging = "[[environments]]\nname = \"staging\"\nquorum = { release-manager = 2 }\n\
                       resume = { release-manager = 2 }\n";
        text.replace(agent, &format!("{agents}, environments = [\"staging\"]"))
            .replace("[hosts.main]", "[hosts.second]\nadministrators = [\"olga\"]\n[hosts.main]")
            .replace(production, &format!("{staging}{production}after = \"staging\"\nsoak_s = {SOAK_S}\n"))
    });
    it.up();
    let host = Host::join(&it);
    (it, host)
}

/// The log indices of what was said of a serial in an environment.
fn said(it: &Installation, environment: &str, serial: &str, what: &str) -> Vec<u64> {
    let is_it = |c: &Value| c["environment"] == environment && c["serial"] == serial && c["what"] == what;
    it.claims("milestone").iter().filter(|(_, c)| is_it(c)).map(|(index, _)| *index).collect()
}

fn wait_said(it: &Installation, host: &Host, environment: &str, serial: &str, what: &str) -> u64 {
    let story = || it.story() + &host.story();
    wait_for(&format!("{serial} {what} in {environment}"), LONG, story, || {
        said(it, environment, serial, what).first().copied()
    })
}

/// Somebody who may puts it up for production, and both who release approve.
fn put_up(it: &Installation, serial: &str) -> u64 {
    it.ok_as("ben", &["propose", serial, "--environment", "production"]);
    let is_it = |(_, c): &&(u64, Value)| c["environment"] == "production" && c["serial"] == serial;
    let proposal = it.claims("proposal").iter().rfind(is_it).unwrap().0;
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &proposal.to_string(), "--yes"]);
    }
    proposal
}

#[test]
fn root_production_gets_what_soaked_in_staging_and_nothing_that_went_back_there() {
    let (it, host) = two_hosts();
    let [staging, ..] = free_ports();
    let manifest = fs::read_to_string(it.repository().join("countersign.toml")).unwrap();
    let production = manifest.split("[environments.production]").nth(1).unwrap().to_owned();
    let exposed = format!("127.0.0.1:{}", it.exposed.port());
    let declared = production.replace(&exposed, &staging.to_string());
    it.write("countersign.toml", &format!("{manifest}\n[environments.staging]{declared}"));
    it.push("First release");
    let first = "visits-000001";
    let staged = it.proposal(first);
    let early = put_up(&it, first);
    let why = it.ok(&["why", &early.to_string()]);
    assert!(why.contains("REFUSED") && why.contains("staging: it has not run there"), "{why}");

    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &staged.to_string(), "--yes"]);
    }
    let live = wait_said(&it, &host, "staging", first, "live");
    let begun = wait_said(&it, &host, "production", first, "begun");
    wait_said(&it, &host, "production", first, "live");
    assert_eq!(it.visit("visit-production"), [first, first]);
    // By the log's ticks: from the first after it was live to the last before production began.
    let ticks: Vec<(u64, u64)> = it.claims("tick").iter().map(|(i, c)| (*i, seconds(&c["at"]))).collect();
    let since = ticks.iter().find(|(index, _)| *index > live).unwrap().1;
    let until = ticks.iter().rfind(|(index, _)| *index < begun).unwrap().1;
    assert!(until >= since + SOAK_S, "production began {} s after staging", until.saturating_sub(since));
    // Each agent says what it runs, and no other.
    assert!(said(&it, "staging", first, "begun").len() == 1 && said(&it, "production", first, "begun").len() == 1);

    it.write("version", "2");
    it.push("Version 2");
    let second = "visits-000002";
    it.approve(second);
    wait_said(&it, &host, "staging", second, "live");
    it.ok_as("olga", &["rollback", "--environment", "staging", "--yes", "--wait-s", "60"]);
    let late = put_up(&it, second);
    let why = it.ok(&["why", &late.to_string()]);
    let words = "going back from it was ordered there";
    assert!(why.contains("REFUSED") && (why.contains(words) || why.contains("it went back there")), "{why}");
    assert_eq!(said(&it, "production", second, "begun"), [0_u64; 0]);
    assert_eq!(it.visit("visit-still"), [first, first]);
    it.ok(&["audit"]);
}

/// A time of the log, in seconds.
fn seconds(at: &Value) -> u64 {
    at.as_u64().unwrap()
}
