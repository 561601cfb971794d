//! What the rules forbid starts nothing, says why, and leaves what runs alone.

use std::{os::unix::process::CommandExt as _, path::Path, process::Command};

use serde_json::Value;

use crate::{
    installation::{Installation, LONG},
    request::get_unix,
    wait::wait_for,
};

/// Users and groups as `identity` numbers them; files of installed systems carry them.
pub(crate) const ROLES_GROUP: u32 = 2_200_000;
const GATE: u32 = 2_200_002;
const AGENT: u32 = 2_200_005;
const FRONT: u32 = 2_200_007;
pub(crate) const NOBODY: u32 = 65_534;

#[test]
fn root_what_the_rules_forbid_starts_nothing() {
    let it = Installation::start();
    it.first_release();

    // A manifest that does not hold up: not accepted, and the next push is.
    it.replace("countersign.toml", "zone = \"back\"", "zone = \"nowhere\"");
    it.push("A zone that there is not");
    let change = it.change(2);
    assert_eq!(change["problems"], serde_json::json!(["manifest"]), "{change}");
    it.replace("countersign.toml", "zone = \"nowhere\"", "zone = \"back\"");

    // A failing case, also under two approvals.
    it.replace("web.sh", "\"$COUNTERSIGN_SERIAL\" \"$kept\"", "broken \"$kept\"");
    it.push("Break the front");
    let serial = it.newest_serial(3);
    assert!(it.reasons(&serial).contains(&"full-suites-passed".to_owned()), "{:?}", it.reasons(&serial));
    assert_eq!(it.evidence(&serial, "end-to-end")["outcome"], "failed");
    it.approve(&serial);
    it.runs_nothing_of(&serial);
    it.replace("web.sh", "broken \"$kept\"", "\"$COUNTERSIGN_SERIAL\" \"$kept\"");

    // No cases at all.
    let suite = std::fs::read_to_string(it.repository().join("e2e/test_visits.py")).unwrap();
    it.write("e2e/test_visits.py", "\"\"\"Nothing yet.\"\"\"\n");
    it.push("Forget the tests");
    let serial = it.newest_serial(4);
    let evidence = it.evidence(&serial, "end-to-end");
    assert_eq!(evidence["outcome"], "not-tested", "{evidence}");
    assert!(it.reasons(&serial).contains(&"full-suites-passed".to_owned()), "{:?}", it.reasons(&serial));

    // One case less than passed before.
    it.write("e2e/test_visits.py", suite.split("def test_versions_are_shown").next().unwrap());
    it.push("Drop a test");
    let serial = it.newest_serial(5);
    let evidence = it.evidence(&serial, "end-to-end");
    assert!(evidence["reasons"].as_array().unwrap().contains(&"missing".into()), "{evidence}");
    it.runs_nothing_of(&serial);
    it.write("e2e/test_visits.py", &suite);

    // Cora contributes, so cora's approval does not count.
    it.commit("cora", "Put the tests back\n\nRequirement: VIS-1", &["-S"], "cora");
    it.push_head();
    let serial = it.newest_serial(6);
    let proposal = it.proposal(&serial).to_string();
    let said = it.refused_as("cora", 4, &["approve", &proposal, "--yes"]);
    assert!(said.contains("cora contributed to it"), "{said}");
    it.ok_as("cora", &["approve", &proposal, "--yes", "--even-if-it-will-not-count"]);
    it.ok_as("dan", &["approve", &proposal, "--yes"]);
    assert_eq!(it.reasons(&serial), ["quorum-has-approved"]);
    let said = it.refused_as("ada", 4, &["approve", &proposal, "--yes"]);
    assert!(said.contains("holds no role that may say"), "{said}");
    let said = it.refused_as("eve", 4, &["approve", &proposal, "--yes"]);
    assert!(said.contains("a key that the charter lists"), "{said}");

    // A commit for no requirement.
    it.commit("ada", "No requirement", &["-S"], "ada");
    it.push_head();
    let serial = it.newest_serial(7);
    assert!(it.reasons(&serial).contains(&"commits-link-requirements".to_owned()), "{:?}", it.reasons(&serial));
    it.runs_nothing_of(&serial);

    // Three commits, each by somebody else than it says, in one push: it is not even built.
    it.commit("ada", "No signature\n\nRequirement: VIS-1", &["--no-gpg-sign"], "ada");
    it.commit("ben", "Somebody else's name\n\nRequirement: VIS-1", &["-S"], "ada");
    it.commit("ada", "A key that nobody enrolled\n\nRequirement: VIS-1", &["-S"], "eve");
    it.push_head();
    let change = it.change(8);
    let problems: Vec<&Value> = change["commits"].as_array().unwrap().iter().map(|c| &c["problem"]).collect();
    for problem in ["unsigned", "forged-author", "unknown-key"] {
        assert!(problems.iter().any(|p| *p == problem), "{problem}: {change}");
    }

    // Doors that are not for everybody.
    let run = it.dir().join("run");
    for (user, group) in [(NOBODY, NOBODY), (GATE, ROLES_GROUP)] {
        for socket in ["agent/components", "tester/components", "tester/sandbox", "builder/sandbox"] {
            assert!(!talks(user, group, &run.join(socket), ""), "user {user} reaches {socket}");
        }
    }
    for socket in ["log/socket", "edge/socket", "agent/socket"] {
        assert!(!talks(NOBODY, NOBODY, &run.join(socket), ""), "anybody reaches {socket}");
    }
    assert!(talks(FRONT, ROLES_GROUP, &run.join("edge/socket"), ""), "front does not reach the edge");
    it.steers_nothing(FRONT);

    assert_eq!(it.visit("visit-last"), ["visits-000001", "visits-000001"]);
    assert_eq!(it.claims("milestone").iter().filter(|(_, m)| m["what"] == "begun").count(), 1);
    it.ok(&["audit"]);
    assert!(it.claims("build").iter().all(|(_, b)| b["serial"] != "visits-000008"));
}

impl Installation {
    /// The change with this ordinal, once there is one.
    fn change(&self, ordinal: u64) -> Value {
        wait_for(
            &format!("change {ordinal}"),
            LONG,
            || self.story(),
            || self.claims("change").into_iter().find(|(_, c)| c["ordinal"] == ordinal).map(|(_, c)| c),
        )
    }

    /// The serial of a change, once it is proposed and decided.
    fn newest_serial(&self, ordinal: u64) -> String {
        let serial = format!("visits-{ordinal:06}");
        self.proposal(&serial);
        serial
    }

    /// The rules that refuse a serial now.
    fn reasons(&self, serial: &str) -> Vec<String> {
        let answer: Value = serde_json::from_str(&self.ok(&["why", serial, "--format", "json"])).unwrap();
        assert_eq!(answer[0]["granted"], false, "{answer}");
        answer[0]["reasons"].as_array().unwrap().iter().filter_map(|r| r["rule"].as_str().map(str::to_owned)).collect()
    }

    /// The newest evidence of a suite on a serial.
    fn evidence(&self, serial: &str, suite: &str) -> Value {
        let change =
            self.claims("proposal").into_iter().rfind(|(_, p)| p["serial"] == serial).unwrap().1["change"].clone();
        self.claims("evidence").into_iter().rfind(|(_, e)| e["suite"] == suite && e["change"] == change).unwrap().1
    }

    pub(crate) fn runs_nothing_of(&self, serial: &str) {
        assert!(self.milestones(serial).is_empty(), "{:?}", self.milestones(serial));
        let status = self.status().unwrap();
        let instances = status["agent"]["visits in production"]["instances"].as_array().unwrap();
        assert!(instances.iter().all(|i| i["serial"] != serial), "{instances:?}");
    }
}

impl Installation {
    /// That a user is not let near the routes, with the very table that the agent's user may put.
    pub(crate) fn steers_nothing(&self, user: u32) {
        let edge = self.dir().join("run/edge/socket");
        let table = get_unix(&edge, "/table").unwrap();
        assert_eq!(table.status, 200);
        let table = put("PUT /table", &String::from_utf8(table.body).unwrap());
        let agent = answered(AGENT, ROLES_GROUP, &edge, &table);
        assert!(agent.starts_with("HTTP/1.1 200"), "the table is one: {agent}");
        let answer = answered(user, ROLES_GROUP, &edge, &table);
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("may not steer"), "user {user}: {answer}");
    }
}

/// A request with a body, as it goes over a socket.
pub(crate) fn put(path: &str, body: &str) -> String {
    format!("{path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// What a user is answered over a socket; nothing where the user does not get through.
pub(crate) fn answered(user: u32, group: u32, socket: &Path, request: &str) -> String {
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.settimeout(15)\n\
                  s.connect(sys.argv[1])\n\
                  s.sendall(sys.argv[2].encode())\n\
                  for part in iter(lambda: s.recv(65536), b''):\n    sys.stdout.buffer.write(part)\n";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).arg(socket).arg(request).uid(user).gid(group);
    String::from_utf8_lossy(&command.output().unwrap().stdout).into_owned()
}

/// Whether a user gets through to a socket; with a request, whether it is answered with a 2xx.
pub(crate) fn talks(user: u32, group: u32, socket: &Path, request: &str) -> bool {
    let script = "import socket, sys\n\
                  s = socket.socket(socket.AF_UNIX)\n\
                  s.settimeout(5)\n\
                  s.connect(sys.argv[1])\n\
                  if sys.argv[2]:\n    s.sendall(sys.argv[2].encode())\n    assert s.recv(12)[9:10] == b'2'\n";
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", script]).arg(socket).arg(request).uid(user).gid(group);
    command.output().unwrap().status.success()
}
