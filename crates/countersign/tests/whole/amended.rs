//! What amendments and emergencies do to a running installation: a person with a security key who is brought in, a role that
//! is held for one release, a release without its evidence and what it owes, an agent whose environment is taken away and
//! given back, and a second builder in other hands.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use ledger::{
    keys::{Algorithm, PrivateKey, PublicKey, Scheme, Signer as _},
    statement::v1::{Build, Charter, Claim, EnvironmentRule, Host, Key, KeyScheme, Member, Proposal, Robot},
};
use model::Digest;
use nix::sys::signal::Signal;
use serde_json::Value;
use sim::security_key::{APPLICATION, Agent, SecurityKey};

use crate::{
    faults::in_the_foreground,
    installation::{Installation, LONG, PROGRAM, SHORT, both},
    request::get,
    steps::refused,
    wait::wait_for,
};

/// Long enough for a rollout after two approvals, and waited for once.
const EMERGENCY_S: u64 = 20;
const SECOND: &str = "visits-000002";
const THIRD: &str = "visits-000003";
const FOURTH: &str = "visits-000004";

fn founding(text: &str) -> String {
    let more = format!(
        "resume = {{ release-manager = 2 }}\nemergency = {{ quorum = {{ release-manager = 2 }}, verdict_s = {EMERGENCY_S} }}\n"
    );
    // Keys that an amendment brings count after a second, and nobody guards values and releases.
    format!("key_delay_s = 1\nconflicts = [[\"guardian\", \"release-manager\"]]\n{text}")
        .replace("resume = { release-manager = 2 }\n", &more)
}

#[test]
fn root_amendments_and_emergencies_give_no_more_than_they_say() {
    let it = Installation::make_edited(|_, text| founding(text));
    it.up();
    it.first_release();

    // A version whose suites nobody runs.
    it.signal("process tester", Signal::SIGSTOP);
    it.write("version", "2");
    it.push("Version 2");
    it.built(SECOND);

    // Amended by the verbs alone: zoe, who has a security key, and gil, who guards values and releases for an hour.
    let device = SecurityKey::new(Algorithm::SkEd25519, 9, APPLICATION).unwrap();
    let public = PublicKey::from_wire(Scheme::SkSshSig, &device.wire()).unwrap();
    fs::write(it.path("zoe.pub"), public.to_openssh()).unwrap();
    let file = it.charter_file();
    let (path, key) = (file.to_string_lossy(), it.path("zoe.pub"));
    let add = ["charter", "add-person", &path, "zoe", "--public-key", &key.to_string_lossy()];
    it.ok(&[&add[..], &["--email", "zoe@example.org", "--role", "release-manager"]].concat());
    it.edit(&file, |charter| has_role(charter, "gil", "release-manager"));
    it.amend(&file);
    let beside = it.path("zoe.identity.json");
    assert!(it.ok(&["charter", "identities", &beside.to_string_lossy()]).contains("the builder knows zoe"));

    // Two persons let it go without evidence: neither fay, who put it up, nor one alone, nor a key that nobody touches.
    let urgent = it.emergency(SECOND);
    it.refused_as("fay", 4, &["approve", &urgent, "--yes"]);
    it.ok_as("gil", &["approve", &urgent, "--yes"]);
    assert_eq!(it.rules(&urgent), ["quorum-has-approved"]);
    assert!(it.alarms("emergency", &urgent).is_empty(), "nobody is called for what may not go");
    // On a log where something is said, its time goes on.
    wait_for(
        "zoe's key counts",
        SHORT,
        || it.story(),
        || (!it.ok(&["charter", "show"]).contains("counts")).then_some(()),
    );
    let untouched = it.with_security_key("untouched", device.clone(), false, &urgent);
    assert!(!untouched.status.success(), "{}", both(&untouched));
    assert_eq!(it.rules(&urgent), ["quorum-has-approved"]);
    let touched = it.with_security_key("touched", device, true, &urgent);
    assert!(touched.status.success(), "{}", both(&touched));
    assert_eq!(it.wait_end(SECOND), "live", "{}", it.story());
    assert_eq!(it.visit("visit-urgent")[0], SECOND);
    it.wait_alarms("emergency", &urgent, &[true]);

    // What it owes: nothing ordinary follows until the evidence is there.
    let back = it.proposed(&["propose", "visits-000001"]);
    assert!(it.rules(&back).contains(&"emergency-is-made-good".to_owned()), "{:?}", it.rules(&back));
    it.signal("process tester", Signal::SIGCONT);
    wait_for(
        "the evidence is made good",
        LONG,
        || it.story(),
        || (!it.rules(&back).contains(&"emergency-is-made-good".to_owned())).then_some(()),
    );
    it.wait_alarms("emergency", &urgent, &[true, false]);

    // The hour is over. What gil signed for it counts no more, and who looks at that release sees both sides.
    let second = PrivateKey::generate(Scheme::Ed25519).unwrap();
    second.write_new(&it.dir().join("keys/builder-2.key"), "builder-2").unwrap();
    let file = it.charter_file();
    it.edit(&file, |charter| {
        has_role(charter, "gil", "guardian");
        // Somebody who does nothing else, with the key that nobody had.
        let public = fs::read_to_string(it.key("eve").with_extension("pub")).unwrap();
        charter.members.push(Member {
            id: "sam".parse().unwrap(),
            keys: vec![Key { scheme: KeyScheme::Sshsig, public: PublicKey::of_person(&public).unwrap().to_openssh() }],
            roles: vec!["operator".parse().unwrap()],
            identity: Digest::of(b"sam"),
            founder: false,
        });
        charter.hosts.push(Host { name: "second".parse().unwrap(), administrators: vec!["sam".parse().unwrap()] });
        charter.robots.push(Robot {
            id: "builder-2".parse().unwrap(),
            role: "builder".parse().unwrap(),
            key: Key { scheme: KeyScheme::Ed25519, public: second.key().to_openssh() },
            controllers: vec!["sam".parse().unwrap()],
            host: "second".parse().unwrap(),
            environments: Vec::new(),
        });
        charter.environments[0].builders = 2;
        // And the agent has nothing to do in production any more.
        let staging = EnvironmentRule { name: "staging".parse().unwrap(), ..charter.environments[0].clone() };
        charter.environments.push(staging);
        agent(charter).environments = vec!["staging".parse().unwrap()];
    });
    it.amend(&file);
    let passage = it.program(&["audit", "duties", "--release", SECOND]);
    let passage = both(&passage);
    assert!(passage.contains("reached guardian") && passage.contains("release-manager"), "{passage}");
    assert!(it.rules(&urgent).contains(&"quorum-has-approved".to_owned()), "a role must hold when it is used");
    it.refused_as("gil", 4, &["approve", &urgent, "--yes"]);

    // Approved by two, made by two: and the agent, which does not run production now, takes no step there.
    it.write("version", "3");
    it.push("Version 3");
    let build = it.built(THIRD);
    let urgent = it.emergency(THIRD);
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &urgent, "--yes"]);
    }
    assert!(it.rules(&urgent).contains(&"builders-agree".to_owned()), "one builder is one: {:?}", it.rules(&urgent));
    it.say("builder-2", "builder", Claim::Build(Box::new(build))).index();
    it.wait_alarms("emergency", &urgent, &[true]);
    wait_for(
        "the agent says why it waits",
        SHORT,
        || it.story(),
        || it.status()?["agent"]["visits in production"]["waits"].to_string().contains("charter").then_some(()),
    );
    // It ends by itself.
    wait_for(
        "the emergency is over",
        LONG,
        || it.story(),
        || it.rules(&urgent).contains(&"emergency-is-in-time".to_owned()).then_some(()),
    );
    it.wait_alarms("emergency", &urgent, &[true, false]);
    it.ok_as("dan", &["approve", &urgent, "--yes", "--even-if-it-will-not-count"]);
    assert!(it.rules(&urgent).contains(&"emergency-is-in-time".to_owned()), "another yes makes it no younger");
    let ordinary = it.proposed(&["propose", THIRD]);
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &ordinary, "--yes"]);
    }
    assert_eq!(it.milestones(THIRD), [] as [&str; 0], "{}", it.story());
    assert_eq!(it.visit("visit-no-step")[0], SECOND, "what runs goes on");

    // Given back, it goes on without a restart.
    let pid = it.process("process agent");
    let file = it.charter_file();
    it.edit(&file, |charter| {
        charter.environments.retain(|rule| rule.name.as_str() == "production");
        agent(charter).environments = Vec::new();
    });
    it.amend(&file);
    assert_eq!(it.wait_end(THIRD), "live", "{}", it.story());
    assert_eq!(it.process("process agent"), pid);

    // A builder in other hands that gets another image stops the release, whatever it says afterwards.
    it.write("version", "4");
    it.push("Version 4");
    let build = it.built(FOURTH);
    let mut other = build.clone();
    other.images[0].image = Digest::of(b"another");
    it.say("builder-2", "builder", Claim::Build(Box::new(other))).index();
    it.say("builder-2", "builder", Claim::Build(Box::new(build))).index();
    let differs = it.proposed(&["propose", FOURTH]);
    for person in ["cora", "dan"] {
        it.ok_as(person, &["approve", &differs, "--yes"]);
    }
    assert!(it.rules(&differs).contains(&"builders-agree".to_owned()), "{:?}", it.rules(&differs));
    let why = it.program(&["why", &differs]);
    assert!(both(&why).contains("builder-2 made"), "{}", both(&why));
    it.runs_nothing_of(FOURTH);
    it.ok(&["audit"]);
    comes_up_without_its_log(&it);
}

/// The host starts again and its log does not: what ran last runs, by what the executor remembers, and nothing else.
fn comes_up_without_its_log(it: &Installation) {
    let of = |serial: &str| it.claim_of::<Proposal>("proposal", |claim| claim["serial"] == serial).1.release;
    let others = [of(FOURTH), of("visits-000001")];
    it.ok(&["down"]);
    let (key, kept) = (it.dir().join("keys/log.key"), it.path("log.key"));
    fs::rename(&key, &kept).unwrap();
    let mut up = in_the_foreground(it);
    wait_for(
        "what ran runs without the log",
        LONG,
        || it.story(),
        || get(it.exposed, "/cgi-bin/visit?visit-without-a-log").ok().filter(|answer| answer.status == 200),
    );
    assert_eq!(it.visit("visit-again"), [THIRD, THIRD]);
    let answers = it.as_agent(&others.map(|release| it.instance(release, "web")));
    for answer in &answers {
        assert!(refused(answer).contains("the log gives no ground for this start"), "{answer:?}");
    }
    fs::rename(&kept, &key).unwrap();
    wait_for(
        "the log is back",
        LONG,
        || it.story(),
        || it.program(&["charter", "show"]).status.success().then_some(()),
    );
    assert_eq!(it.visit("visit-with-a-log"), [THIRD, THIRD]);
    it.ok(&["down"]);
    up.wait().unwrap();
}

fn has_role(charter: &mut Charter, who: &str, role: &str) {
    charter.members.iter_mut().find(|m| m.id.as_str() == who).unwrap().roles = vec![role.parse().unwrap()];
}

fn agent(charter: &mut Charter) -> &mut Robot {
    charter.robots.iter_mut().find(|robot| robot.role.as_str() == "agent").unwrap()
}

impl Installation {
    /// What was built of a version, once it is.
    fn built(&self, serial: &str) -> Build {
        wait_for(
            &format!("{serial} is built"),
            LONG,
            || self.story(),
            || self.claims("build").iter().any(|(_, claim)| claim["serial"] == serial).then_some(()),
        );
        self.claim_of::<Build>("build", |claim| claim["serial"] == serial).1
    }

    /// The charter in force as a file to edit.
    fn charter_file(&self) -> PathBuf {
        let path = self.path("charter.toml");
        fs::write(&path, self.ok(&["charter", "edit"])).unwrap();
        path
    }

    fn edit(&self, file: &Path, edit: impl FnOnce(&mut Charter)) {
        let mut charter: Charter = toml_edit::de::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        edit(&mut charter);
        fs::write(file, toml_edit::ser::to_string_pretty(&charter).unwrap()).unwrap();
    }

    /// Puts an edited file in force, as one person proposes it and two others agree.
    fn amend(&self, file: &Path) {
        let said = self.ok_as("fay", &["charter", "propose", &file.to_string_lossy(), "--yes", "--format", "json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let index = said["amendment"].to_string();
        self.ok_as("cora", &["charter", "consent", &index, "--yes"]);
        let said = self.ok_as("dan", &["charter", "consent", &index, "--yes"]);
        assert!(said.contains("in force from"), "{said}");
    }

    fn proposed(&self, words: &[&str]) -> String {
        let more = ["--environment", "production", "--format", "json"];
        let said: Value = serde_json::from_str(&self.ok_as("fay", &[words, &more].concat())).unwrap();
        said["proposal"].to_string()
    }

    fn emergency(&self, serial: &str) -> String {
        self.proposed(&["propose", serial, "--emergency", "--reason", "it can not wait"])
    }

    /// The rules that refuse a proposal; none if it is granted.
    fn rules(&self, proposal: &str) -> Vec<String> {
        let why: Value = serde_json::from_slice(&self.program(&["why", proposal, "--format", "json"]).stdout).unwrap();
        why[0]["reasons"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|r| r["rule"].as_str().map(str::to_owned))
            .collect()
    }

    /// Whether each alarm of a kind about a statement fires, in the order of the log.
    fn alarms(&self, what: &str, statement: &str) -> Vec<bool> {
        let number: Value = statement.parse().unwrap();
        let is_it = |claim: &Value| claim["what"] == what && claim["about"]["statement"] == number;
        self.claims("alarm").iter().filter(|(_, claim)| is_it(claim)).map(|(_, c)| c["firing"] == true).collect()
    }

    fn wait_alarms(&self, what: &str, statement: &str, expected: &[bool]) {
        wait_for(
            &format!("alarms about {statement}: {expected:?}"),
            SHORT,
            || self.story(),
            || (self.alarms(what, statement) == expected).then_some(()),
        );
    }

    /// Approves with a security key in an ssh-agent.
    fn with_security_key(
        &self,
        name: &str,
        device: SecurityKey,
        is_touched: bool,
        proposal: &str,
    ) -> std::process::Output {
        let socket = self.path(name);
        let agent = Agent::start(&socket, device, is_touched).unwrap();
        let output = Command::new(PROGRAM)
            .args(["approve", proposal, "--yes", "--key", "agent", "--dir"])
            .arg(self.dir())
            .env("SSH_AUTH_SOCK", &socket)
            .output()
            .unwrap();
        assert_eq!(agent.signed(), u32::from(is_touched));
        output
    }
}
