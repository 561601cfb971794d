//! Staging on one host and production on another, over one log: from the one to the other on the same digests, after its
//! soak, and nothing that went back there. The hosts are two folders with an executor, networks and an edge each.

use std::{fs, process::Command};

use serde_json::Value;

use crate::{
    host::Host,
    installation::{Installation, LONG, free_ports, run},
    wait::wait_for,
};

/// How long staging must have run what production gets: several ticks, and a few seconds of the test.
const SOAK_S: u64 = 4;

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
    let host = Host::join(&it, "agent");
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
