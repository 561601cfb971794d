//! Where money goes: changed by two guardians after a cool-off, read by what runs from a file that it can not write, and by
//! a new release only. Whoever tries otherwise changes nothing.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gate::LogTime;
use ledger::{
    dsse::Envelope,
    statement::{
        Statement,
        v1::{Charter, Claim, Proposal, Tick},
    },
};
use model::{Digest, Timestamp};
use rollout::instance::GivenValue;
use serde_json::Value;

use crate::{
    installation::{Installation, LONG, SHORT},
    request::get,
    steps::refused,
    wait::wait_for,
};

/// As in the founding file of these installations.
const COOL_OFF_S: u64 = 3;
const FIRST: &str = "DE89370400440532013000";
/// One digit of the account is another, and the check digits with it.
const SECOND: &str = "DE16370400440532018000";
const THIRD: &str = "GB29NWBK60161331926819";

#[test]
fn root_an_account_changes_by_its_guardians_and_by_a_release_alone() {
    let it = Installation::start();
    it.replace("countersign.toml", "/www\"]\nport = 8080", "/www\"]\nvalues = [\"payout\"]\nport = 8080");
    it.push("First release");
    let empty = it.proposal("visits-000001");
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &empty.to_string(), "--yes"]);
    }
    let why = it.program(&["why", &empty.to_string()]);
    let why = String::from_utf8_lossy(&why.stdout).into_owned();
    assert!(why.contains("guarded-values-are-in-force") && why.contains("payout: no value is in force"), "{why}");

    // Alone, nobody; and one of them stops it.
    let nobody = it.refused_as("ada", 4, &["value", "propose", "payout", "--to", FIRST, "--reason", "x", "--yes"]);
    assert!(nobody.contains("ada"), "{nobody}");
    let alone = it.value_proposed("gil", FIRST);
    it.ok_as("hal", &["value", "approve", &alone, "--yes"]);
    it.refused_as("gil", 4, &["value", "approve", &alone, "--yes"]);
    it.ok_as("ida", &["value", "cancel", &alone, "--reason", "nobody asked us"]);
    let first = it.value_in_force(FIRST);
    assert_eq!(
        it.show()["proposals"][0]["state"].as_str().unwrap_or_default().split(" in ").next(),
        Some("was cancelled")
    );

    // The builder proposes the same build again, now with what is in force.
    it.release_given("visits-000001", &first);
    assert_eq!(it.account(), ["visits-000001", FIRST], "and nothing that it tried to write");
    let told = it.processes_that_know(FIRST);
    assert!(told.is_empty(), "the account is in the environment or the arguments of {told:?}");

    // Another account that looks like it: pointed out, and nothing changes under what runs.
    let second = it.value_proposed("ida", SECOND);
    let shown = it.ok_as("gil", &["value", "approve", &second, "--yes"]);
    assert!(shown.contains("LOOKS ALIKE: only 3 of 22 characters differ from the old one"), "{shown}");
    it.ok_as("hal", &["value", "approve", &second, "--yes"]);
    it.wait_in_force(&second);
    assert_eq!(it.account(), ["visits-000001", FIRST]);

    // The builder makes a new release of the same commit by itself; it takes approvals like any other.
    it.release_given("visits-000002", &second);
    let changes = it.claims("change");
    assert_eq!(changes[0].1["commit"], changes[1].1["commit"]);
    assert_eq!(changes[1].1["commits"], serde_json::json!([]));
    assert_eq!(it.account(), ["visits-000002", SECOND]);

    // Whoever has the agent's user starts what runs with its own account, and with no other, though that is whole in itself.
    let (_, runs) = it.claim_of::<Proposal>("proposal", |claim| claim["serial"] == "visits-000002");
    let given = |text: &str, salt: [u8; 32]| GivenValue {
        name: "payout".parse().unwrap(),
        commitment: Digest::of(&[salt.as_slice(), text.as_bytes()].concat()),
        salt,
        text: text.to_owned(),
    };
    let mut mine = it.instance(runs.release, "web");
    mine.values = vec![given(THIRD, [7; 32])];
    assert!(mine.values.iter().all(GivenValue::holds));
    let words = refused(&it.as_agent(&[mine])[0]);
    assert!(words.contains("the guarded values are not those that") && words.contains("payout"), "{words}");
    assert!(!words.contains(THIRD), "{words}");
    assert_eq!(it.account(), ["visits-000002", SECOND]);

    // A body that was swapped beside the log is not what was approved.
    let third = it.value_in_force(THIRD);
    let proposal = it.proposed_with("visits-000003", &third);
    let (theirs, mine) = (it.kept_value(&third), it.kept_value(&second));
    fs::copy(mine, theirs).unwrap();
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &proposal, "--yes"]);
    }
    wait_for(
        "the agent refuses the value",
        SHORT,
        || it.story(),
        || {
            let status = it.status()?;
            let waits = status["agent"]["visits in production"]["waits"].to_string();
            waits.contains("visits-000003 waits for its values").then_some(())
        },
    );
    assert_eq!(it.milestones("visits-000003"), [] as [&str; 0]);
    assert_eq!(it.account(), ["visits-000002", SECOND]);
    it.ok(&["audit"]);
}

impl Installation {
    fn value_proposed(&self, who: &str, to: &str) -> String {
        let arguments =
            ["value", "propose", "payout", "--to", to, "--reason", "the bank moved", "--yes", "--format", "json"];
        let said: Value = serde_json::from_str(&self.ok_as(who, &arguments)).unwrap();
        said["proposal"].to_string()
    }

    /// Puts a value in force. Its proposal.
    fn value_in_force(&self, to: &str) -> String {
        let proposal = self.value_proposed("gil", to);
        for person in ["hal", "ida"] {
            self.ok_as(person, &["value", "approve", &proposal, "--yes"]);
        }
        self.wait_in_force(&proposal);
        self.check_cooled_off(&proposal);
        proposal
    }

    /// Whether the cool-off took its time, by the ticks that began and ended it: how quick this machine is says nothing.
    fn check_cooled_off(&self, proposal: &str) {
        let charter = self.founding_charter();
        let time = |(index, claim): (u64, Value)| {
            let checkpoint = claim["checkpoint"].as_str().unwrap().to_owned();
            LogTime::of(&Tick { checkpoint, at: Timestamp::default() }, index, &charter)
        };
        let times: Vec<LogTime> = self.claims("tick").into_iter().filter_map(time).collect();
        let approvals = self.claims("value-approval");
        let of_it = |(_, claim): &&(u64, Value)| claim["proposal"].as_u64() == proposal.parse().ok();
        let last = approvals.iter().rfind(of_it).unwrap().0;
        let since = self.show()["in_force"]["since"].as_u64().unwrap();
        let began = times.iter().find(|time| time.covers > last).unwrap();
        let ended = times.iter().find(|time| time.index == since).unwrap();
        assert!(began.witnessed && ended.earliest >= began.latest.plus_s(COOL_OFF_S), "from {began:?} to {ended:?}");
    }

    /// The founding charter.
    pub(crate) fn founding_charter(&self) -> Charter {
        let text = fs::read_to_string(self.dir().join("charter.jsonl")).unwrap();
        let first = Envelope::parse(text.lines().next().unwrap().as_bytes()).unwrap();
        let Claim::Charter(charter) = Statement::from_bytes(first.payload()).unwrap().claim else {
            panic!("no charter")
        };
        *charter
    }

    /// Processes of this installation that have a text in their environment or arguments.
    fn processes_that_know(&self, text: &str) -> Vec<String> {
        let (scope, folder) = (self.scope(), self.dir().to_string_lossy().into_owned());
        let has = |process: &Path, part: &str, text: &str| {
            let bytes = fs::read(process.join(part)).unwrap_or_default();
            bytes.windows(text.len()).any(|window| window == text.as_bytes())
        };
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let ours = processes.filter(|p| has(p, "cgroup", scope) || has(p, "cmdline", &folder));
        let told = ours.filter(|process| ["environ", "cmdline"].iter().any(|part| has(process, part, text)));
        told.map(|process| process.display().to_string()).collect()
    }

    fn wait_in_force(&self, proposal: &str) {
        wait_for(
            "the value is in force",
            SHORT,
            || self.story(),
            || (self.show()["in_force"]["proposal"].as_u64() == proposal.parse().ok()).then_some(()),
        );
    }

    fn show(&self) -> Value {
        serde_json::from_str(&self.ok(&["value", "show", "payout", "--format", "json"])).unwrap()
    }

    /// The proposal of a serial that brings a value.
    fn proposed_with(&self, serial: &str, value: &str) -> String {
        let brings = |claim: &Value| {
            claim["serial"] == serial
                && claim["values"]
                    .as_array()
                    .is_some_and(|v| v.iter().any(|v| v["proposal"].as_u64() == value.parse().ok()))
        };
        let find =
            || self.claims("proposal").iter().find(|(_, claim)| brings(claim)).map(|(index, _)| index.to_string());
        wait_for(&format!("{serial} is proposed with {value}"), LONG, || self.story(), find)
    }

    /// Brings a serial live that is given a value.
    fn release_given(&self, serial: &str, value: &str) {
        let proposal = self.proposed_with(serial, value);
        for person in ["cora", "dan"] {
            self.ok_as(person, &["approve", &proposal, "--yes"]);
        }
        self.wait_milestone(serial, "live");
    }

    /// What the component reads, and what it could do to it.
    fn account(&self) -> Vec<String> {
        let answer = get(self.exposed, "/cgi-bin/account").unwrap();
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 200, "{text}");
        text.lines().map(str::to_owned).collect()
    }

    /// The file beside the log that keeps the value of a proposal.
    fn kept_value(&self, proposal: &str) -> PathBuf {
        let claims = self.claims("value-proposal");
        let (_, claim) = claims.iter().find(|(index, _)| index.to_string() == proposal).unwrap();
        let hex = claim["value"].as_str().unwrap().trim_start_matches("sha256:").to_owned();
        self.dir().join("log/bodies").join(&hex[..2]).join(&hex[2..4]).join(hex)
    }
}
