//! Versions side by side on a whole installation: each keeps its name and its clients, goes when nobody is there, and comes
//! back under a verdict of its own time.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    installation::{Installation, LONG, SHORT},
    request::{Answer, ask_at},
    small::TESTS,
    wait::wait_for,
};

const FIRST: &str = "visits-000001";
const SECOND: &str = "visits-000002";
const THIRD: &str = "visits-000003";
const LEASE: &str = "/.well-known/countersign/lease";
const SHEET: &str = "{\"name\": \"month-end sheet\", \"for_s\": 10}";

/// Versions stay.
const ENVIRONMENT: &str = r#"strategy = "blue-green"
watch_s = 1
drain_s = 1

[environments.production.versions]
domain = "visits.example"
channels = ["2026-10"]
most = 3
client_s = 2
lease_s = 10
"#;

/// A case that the first release does not have.
const LATER: &str = "\n\ndef test_it_is_shown_twice():\n    assert visit() == visit()\n";

impl Installation {
    fn at(&self, name: &str, method: &str, path: &str, body: &[u8]) -> Answer {
        ask_at(self.exposed, &format!("{name}:{}", self.exposed.port()), method, path, body).unwrap()
    }

    /// Who answers at a name of the system.
    fn version_at(&self, name: &str) -> (u16, String) {
        let answer = self.at(name, "GET", "/cgi-bin/visit", b"");
        (answer.status, String::from_utf8_lossy(&answer.body).trim().to_owned())
    }

    /// Waits until a version answers at a name.
    fn reached(&self, name: &str, serial: &str) {
        let wanted = (200, serial.to_owned());
        let what = format!("{serial} at {name}");
        wait_for(&what, LONG, || self.story(), || (self.version_at(name) == wanted).then_some(()));
    }

    /// What `versions` says of one.
    fn version(&self, serial: &str) -> Option<Value> {
        let all: Value = serde_json::from_str(&self.ok(&["versions", "--format", "json"])).unwrap();
        let rows = all["places"][0]["versions"].as_array().unwrap();
        rows.iter().find(|row| row["serial"] == serial).cloned()
    }
}

fn seconds_now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn kept_by(row: &Value) -> String {
    row["held_by"].as_array().unwrap().iter().map(|held| held.as_str().unwrap()).collect::<Vec<_>>().join("; ")
}

#[test]
fn root_versions_keep_their_names_and_clients_and_come_back_by_a_verdict_alone() {
    let it = Installation::start();
    it.write_small(ENVIRONMENT);
    it.release("First release", FIRST);
    it.reached("visits.example", FIRST);

    // The second takes another channel, has a test more, and goes by itself when nobody was there for three seconds.
    it.replace("countersign.toml", "channels = [\"2026-10\"]", "channels = [\"2026-11\"]\nretire_after_s = 3");
    it.write("e2e/test_visits.py", &format!("{TESTS}{LATER}"));
    it.release("Second release", SECOND);
    it.reached("visits.example", SECOND);
    for (name, serial) in [
        ("visits-000001.visits.example", FIRST),
        ("2026-10.visits.example", FIRST),
        ("visits-000002.visits.example", SECOND),
        ("2026-11.visits.example", SECOND),
        ("latest.visits.example", SECOND),
    ] {
        assert_eq!(it.version_at(name), (200, serial.to_owned()), "{name}");
    }
    assert_eq!(it.version_at("visits-000003.visits.example").0, 421, "never another version");

    keeps_its_clients(&it);
    goes_and_comes_back(&it);
    goes_by_itself(&it);
    it.ok(&["audit"]);
}

/// Whoever is there is named, and keeps it.
fn keeps_its_clients(it: &Installation) {
    let own = "visits-000001.visits.example";
    let first = || it.version(FIRST).unwrap();
    let row = wait_for(
        "its requests are counted",
        SHORT,
        || first().to_string(),
        || Some(first()).filter(|row| row["requests"].as_u64() >= Some(2)),
    );
    assert_eq!(row["kind"], "beside", "{row}");
    let names: Vec<&str> = row["addresses"].as_array().unwrap().iter().filter_map(|a| a["name"].as_str()).collect();
    assert!(names.iter().any(|name| name.starts_with(own)), "{names:?}");
    assert!(names.iter().any(|name| name.starts_with("2026-10.visits.example")), "{names:?}");
    assert!(row["last_seen"].as_u64() > row["since"].as_u64().map(|since| since - 60), "{row}");
    assert_eq!(row["zones"][0], "front", "{row}");

    // A lease keeps it without a connection.
    assert!(it.at(own, "POST", LEASE, SHEET.as_bytes()).status < 300);
    let listed = || it.ok(&["versions"]).contains("month-end sheet").then_some(());
    wait_for("the lease is listed", SHORT, || it.story(), listed);
    let told = it.refused_as("olga", 4, &["retire", FIRST, "--yes"]);
    assert!(told.contains("month-end sheet"), "{told}");
    assert!(it.at(own, "DELETE", LEASE, b"{\"name\": \"month-end sheet\"}").status < 300);

    // So does an open connection, for as long as it is open.
    let mut stream = TcpStream::connect(it.exposed).unwrap();
    write!(stream, "GET /cgi-bin/visit HTTP/1.1\r\nHost: {own}\r\n\r\n").unwrap();
    let mut some = [0; 1024];
    assert!(stream.read(&mut some).unwrap() > 0);
    wait_for(
        "its requests are long ago",
        SHORT,
        || first().to_string(),
        || {
            let row = first();
            (row["connections"] == 1 && seconds_now() > row["last_seen"].as_u64().unwrap() + 3).then_some(())
        },
    );
    let told = it.refused_as("olga", 4, &["retire", FIRST, "--yes"]);
    assert!(told.contains("1 connection"), "{told}");
    drop(stream);
    wait_for("nobody is there", SHORT, || first().to_string(), || kept_by(&first()).is_empty().then_some(()));
    // Who may not order it does not, also when nobody is there.
    it.refused_as("ada", 4, &["retire", FIRST, "--yes"]);
}

/// Retired by hand while the agent is killed, and brought back by two people and not by one.
fn goes_and_comes_back(it: &Installation) {
    it.ok_as("olga", &["retire", FIRST, "--yes"]);
    it.signal("process agent", Signal::SIGKILL);
    it.wait_milestone(FIRST, "retired");
    for name in ["visits-000001.visits.example", "2026-10.visits.example"] {
        let what = format!("nothing is at {name}");
        wait_for(&what, SHORT, || it.story(), || (it.version_at(name).0 == 421).then_some(()));
    }
    assert!(it.version(FIRST).is_none());
    assert_eq!(it.version_at("visits.example"), (200, SECOND.to_owned()));
    let told = it.refused_as("olga", 4, &["retire", FIRST, "--yes"]);
    assert!(told.contains("does not run"), "{told}");

    let said = it.ok_as("fay", &["propose", FIRST, "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    let proposal = said["proposal"].as_u64().unwrap().to_string();
    let shown = it.ok_as("cora", &["approve", &proposal, "--yes"]);
    assert!(shown.contains("BROUGHT BACK"), "{shown}");
    let why = it.ok(&["why", FIRST]);
    assert!(why.contains("quorum"), "{why}");
    assert_eq!(it.version_at("visits-000001.visits.example").0, 421, "one person is not enough");
    it.ok_as("dan", &["approve", &proposal, "--yes"]);
    it.wait_milestone(FIRST, "brought-back");
    it.reached("visits-000001.visits.example", FIRST);
    assert_eq!(it.version_at("visits.example"), (200, SECOND.to_owned()), "the latest stays the latest");
    // Its executor asks for a verdict too, and finds it again after a restart.
    it.signal("executor agent components", Signal::SIGKILL);
    it.signal("process agent", Signal::SIGKILL);
    it.reached("visits-000001.visits.example", FIRST);
}

/// The second release said that it may go once nobody is there.
fn goes_by_itself(it: &Installation) {
    it.replace("countersign.toml", "[\"2026-11\"]", "[\"2026-12\"]");
    it.release("Third release", THIRD);
    it.wait_milestone(SECOND, "retired");
    it.reached("visits.example", THIRD);
    assert_eq!(it.version_at("2026-11.visits.example").0, 421);
    assert_eq!(it.version_at("visits-000001.visits.example"), (200, FIRST.to_owned()), "it did not say so");
    assert!(it.claims("retirement").len() == 1, "nobody ordered it");
}
