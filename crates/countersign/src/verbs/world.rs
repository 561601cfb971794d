//! A small world for the verbs' tests: a charter that its founders signed, the real log and a real witness on loopback,
//! people and robots with keys, and the statements of a release.
//!
//! Everything but the charter is said through the log's door, so what the tests build is what the door lets in.

use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use axum::{Json, Router, extract::State, routing::get};
use ledger::{
    blobs::FileBlobs,
    bodies::{Bodies, KeptBody},
    keys::{PrivateKey, Scheme, Signer},
    note::{NoteKeyType, NoteSigner, VerifierKey},
    statement::{
        Members,
        v1::{
            Action, Approval, Build, Change, Claim, CommitFact, Evidence, EvidenceOn, EvidenceOutcome, Image,
            Milestone, MilestoneKind, Placed, Proposal, SuiteFact, SuiteKind, SuiteOn, Tick, Totals,
        },
    },
    store::SqliteStore,
    witness::{Witness, WitnessedLog},
};
use model::{
    Clock as _, Commit, ComponentName, Digest, EnvironmentName, Serial, SystemName,
    manifest::{Manifest, SuiteTarget},
};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Flags, Format, init};
use crate::{
    charter_file,
    clock::SystemClock,
    fault::Fault,
    founding::Founding,
    http::Target,
    identity::RoleUser,
    layout::Layout,
    log_client::LogClient,
    processes,
    say::{About, Speaker},
    serve::{PublicLimits, REQUEST_BYTES, bounded, serve_public},
    status::StatusFile,
    view::View,
};

/// The manifest of every change in this world.
pub(crate) const MANIFEST: &str = r#"system = "paydesk"

[components.web]
image = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
port = 8080
health = "/health"
zone = "front"
limits = {}

[zones.front]

[[flows]]
from = "edge"
to = "web"

[suites.unit]
kind = "full"
on = "source"
run = ["/usr/bin/make", "unit"]
report = "unit.xml"
requirements = ["PAY-1"]
paths = ["tests"]

[suites.end-to-end]
kind = "full"
on = "containers"
run = ["/usr/bin/python3", "e2e/run.py"]
report = "e2e.xml"
paths = ["e2e"]

[environments.production]
strategy = "blue-green"
expose = { web = "127.0.0.1:8088" }
"#;

const PEOPLE: [(&str, &str, bool); 6] = [
    ("ada", "developer", false),
    ("ben", "release-manager", true),
    ("cem", "release-manager", true),
    ("olga", "operator", false),
    ("pim", "operator", false),
    ("dina", "duty-officer", false),
];

/// A world. Its threads end with the test.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) common: Flags,
    pub(crate) members: Members,
    /// What `/api/status` answers.
    pub(crate) status: Arc<Mutex<Value>>,
}

/// The log indices of one release's statements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Release {
    pub(crate) ordinal: u64,
    pub(crate) change: u64,
    pub(crate) build: u64,
    pub(crate) digest: Digest,
    pub(crate) image: Digest,
}

impl World {
    /// A world whose charter asks for one witness.
    pub(crate) fn new() -> Self {
        Self::of(&[], "")
    }

    /// A world with a guarded account, which two of three guardians change.
    pub(crate) fn guarded(cool_off_s: u64) -> Self {
        let value = format!(
            "[[values]]\nname = \"payout\"\nsystem = \"paydesk\"\nenvironment = \"production\"\nformat = \"iban\"\n\
             guardians = {{ guardian = 2 }}\ncool_off_s = {cool_off_s}\n"
        );
        Self::of(&[("gil", "guardian", false), ("hal", "guardian", false), ("ida", "guardian", false)], &value)
    }

    fn of(more: &[(&str, &str, bool)], values: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path());
        for folder in ["people", "keys", "log", "witness", "status/log", "images/blobs/sha256"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        let log_vkey = |layout: &Layout| -> VerifierKey {
            charter_file::read(layout, None).unwrap().members.charter().log.vkey.parse().unwrap()
        };
        let (witness_listener, witness_address) = listener();
        let witness_key = PrivateKey::from_seed(Scheme::Ed25519, &[9; 32]).unwrap();
        let witness_signer = NoteSigner::new("witness.test", NoteKeyType::Cosignature, Arc::new(witness_key)).unwrap();
        let people: Vec<_> = PEOPLE.iter().chain(more).copied().collect();
        found(&layout, &dir, &witness_signer.vkey().to_string(), witness_address, &people, values);

        Witness::begin(&dir.path().join("witness")).unwrap();
        let log = WitnessedLog::new(log_vkey(&layout)).unwrap();
        let witness = Witness::open(&dir.path().join("witness"), witness_signer, vec![log]).unwrap();
        serve(witness_listener, processes::witness::router(witness));
        let charter = charter_file::read(&layout, None).unwrap();
        let store = Arc::new(SqliteStore::open(&dir.path().join("log/log.sqlite3")).unwrap());
        let blobs = Arc::new(FileBlobs::open(&dir.path().join("log/bodies")).unwrap());
        let bodies = Bodies::new(blobs, store.clone());
        let key = PrivateKey::read(Scheme::Ed25519, &layout.key(RoleUser::Log), &mut || None).unwrap();
        let file = StatusFile::new(&layout, RoleUser::Log, "not confined".to_owned());
        let log = processes::log::open(
            store,
            bodies,
            dir.path().join("log/forks"),
            Arc::new(key),
            &charter,
            (file, std::collections::BTreeSet::new()),
            None,
        )
        .unwrap()
        .router();
        let status: Arc<Mutex<Value>> = Arc::new(Mutex::new(json!({ "processes": [], "edge": null, "agent": null })));
        let front = Router::new()
            .route(
                "/api/status",
                get(|State(status): State<Arc<Mutex<Value>>>| async move { Json(status.lock().unwrap().clone()) }),
            )
            .with_state(status.clone())
            .nest("/log", log);
        let (front_listener, front_address) = listener();
        serve(front_listener, front);
        let common = Flags {
            dir: dir.path().to_owned(),
            server: Some(format!("http://{front_address}")),
            format: Format::Text,
            key: None,
        };
        let world = Self { dir, common, members: charter.members, status };
        world.wait(0);
        world.tick();
        world
    }

    /// The folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The command line of a person.
    pub(crate) fn as_person(&self, name: &str) -> Flags {
        Flags { key: Some(self.path("people").join(name).display().to_string()), ..self.common.clone() }
    }

    /// The command line that asks for JSON.
    pub(crate) fn json(common: &Flags) -> Flags {
        Flags { format: Format::Json, ..common.clone() }
    }

    /// The log.
    pub(crate) fn log(&self) -> LogClient {
        LogClient::through_front(Target::parse(self.common.server.as_deref().unwrap()).unwrap())
    }

    /// A view of everything.
    pub(crate) fn view(&self) -> View {
        self.common.view().unwrap()
    }

    pub(crate) fn wait(&self, index: u64) {
        let mut view = View::new(self.log(), self.members.clone()).unwrap();
        view.wait_for(index, std::time::Duration::from_secs(20)).unwrap();
    }

    /// A robot's or person's word, cosigned when this returns.
    pub(crate) fn say(&self, who: &str, role: &str, claim: Claim, environment: bool) -> u64 {
        let signer: Arc<dyn Signer> = match RoleUser::ALL.into_iter().find(|r| r.name() == who) {
            Some(role) => {
                Arc::new(PrivateKey::read(Scheme::Ed25519, &self.common.layout().key(role), &mut || None).unwrap())
            }
            None => super::file_signer(&self.path("people").join(who)).unwrap(),
        };
        let about = About {
            system: (!matches!(
                claim,
                Claim::Tick(_) | Claim::KeyWithdrawal(_) | Claim::Erasure(_) | Claim::Alarm(_) | Claim::Consent(_)
            ))
            .then(system),
            environment: environment.then(production),
            seen: self.view().seen(),
            nonce: None,
        };
        let speaker = Speaker::new(signer, self.members.hash(), role.parse().unwrap());
        let index = speaker.say(&self.log(), claim, about, &[]).unwrap().index;
        self.wait(index);
        index
    }

    /// A tick of the gate's, with the witness's time.
    pub(crate) fn tick(&self) -> u64 {
        let view = self.view();
        let checkpoint = String::from_utf8(view.reader().checkpoint().unwrap().to_bytes()).unwrap();
        self.say("gate", "gate", Claim::Tick(Tick { checkpoint, at: SystemClock.now() }), false)
    }

    /// A change by ada and its build, whose release document is kept.
    pub(crate) fn built(&self, ordinal: u64, previous: Option<u64>) -> Release {
        let change = self.change_by("ada", ordinal, previous);
        self.build_of(change, ordinal)
    }

    /// The same of a change whose components read these guarded values.
    pub(crate) fn built_reading(&self, ordinal: u64, previous: Option<u64>, values: &[&str]) -> Release {
        let values = values.iter().map(|name| name.parse().unwrap()).collect();
        let change = Change { values, ..change("ada", ordinal, previous) };
        let change = self.say("builder", "builder", Claim::Change(Box::new(change)), false);
        self.build_of(change, ordinal)
    }

    /// A change with one commit of a person's.
    pub(crate) fn change_by(&self, who: &str, ordinal: u64, previous: Option<u64>) -> u64 {
        self.say("builder", "builder", Claim::Change(Box::new(change(who, ordinal, previous))), false)
    }

    /// The build of a change, whose release document is kept.
    pub(crate) fn build_of(&self, change: u64, ordinal: u64) -> Release {
        let serial = Serial::new(system(), ordinal);
        let manifest = Manifest::parse(MANIFEST).unwrap().manifest;
        let release = manifest.compose(serial.clone(), commit(ordinal), &BTreeMap::new()).unwrap();
        let bytes = release.to_bytes().unwrap();
        let digest = Digest::of(&bytes);
        ledger::durable::write(&self.path("images/blobs/sha256").join(digest.hex()), &bytes, 0o644).unwrap();
        let image = Digest::from_bytes([0xaa; 32]);
        let build = Build {
            change,
            serial,
            release: digest,
            images: images(image),
            provenance: Digest::of(format!("provenance {ordinal}").as_bytes()),
            sbom: Digest::of(format!("sbom {ordinal}").as_bytes()),
            dependencies: 3,
        };
        let build = self.say("builder", "builder", Claim::Build(Box::new(build)), false);
        Release { ordinal, change, build, digest, image }
    }

    /// Evidence of both suites.
    pub(crate) fn tested(&self, release: &Release, outcome: EvidenceOutcome, baseline: [Option<u64>; 2]) -> [u64; 2] {
        let facts = suites();
        let mut said = [0; 2];
        for ((suite, baseline), index) in facts.iter().zip(baseline).zip(&mut said) {
            let on = match suite.on {
                SuiteOn::Source => EvidenceOn::Source { commit: commit(release.ordinal) },
                SuiteOn::Containers => {
                    EvidenceOn::Containers { release: release.digest, images: images(release.image) }
                }
            };
            let failed = outcome == EvidenceOutcome::Failed && suite.on == SuiteOn::Containers;
            let evidence = Evidence {
                change: release.change,
                suite: suite.name.clone(),
                kind: suite.kind,
                definition: suite.definition,
                files: suite.files,
                on,
                outcome: if failed { EvidenceOutcome::Failed } else { EvidenceOutcome::Passed },
                reasons: Vec::new(),
                totals: Totals { passed: 5, failed: u32::from(failed), skipped: 0, flaky: 0 },
                baseline,
                missing: Vec::new(),
                excepted: Vec::new(),
                covers: suite.covers.clone(),
                cases: None,
            };
            *index = self.say("tester", "tester", Claim::Evidence(Box::new(evidence)), false);
        }
        said
    }

    /// The builder's proposal of it into production.
    pub(crate) fn proposed(&self, release: &Release) -> u64 {
        let replaces = self.view().facts().live(&system(), &production()).first().map(|l| l.release);
        let proposal = Proposal {
            environment: production(),
            release: release.digest,
            serial: Serial::new(system(), release.ordinal),
            build: release.build,
            change: release.change,
            images: images(release.image),
            replaces,
            edited_suites: Vec::new(),
            removed_suites: Vec::new(),
            approvals: None,
            values: Vec::new(),
            emergency: false,
            reason: None,
        };
        self.say("builder", "builder", Claim::Proposal(Box::new(proposal)), true)
    }

    /// A person's approval.
    pub(crate) fn approved(&self, proposal: u64, who: &str, role: &str) -> u64 {
        let view = self.view();
        let claim = view.facts().proposal(proposal).unwrap().claim.clone();
        let approval = Approval {
            action: Action::Release,
            environment: production(),
            proposal,
            release: claim.release,
            replaces: claim.replaces,
            shown: gate::shown_digest(view.facts(), proposal).unwrap(),
        };
        self.say(who, role, Claim::Approval(approval), true)
    }

    /// The gate's verdict over everything there is.
    pub(crate) fn decided(&self, proposal: u64) -> u64 {
        let verdict = gate::decide(self.view().facts(), proposal).unwrap().verdict;
        self.say("gate", "gate", Claim::Verdict(Box::new(verdict)), true)
    }

    /// The agent's word on what happened to a proposal.
    pub(crate) fn happened(&self, proposal: u64, what: MilestoneKind) -> u64 {
        let claim = self.view().facts().proposal(proposal).unwrap().claim.clone();
        let web: ComponentName = "web".parse().unwrap();
        let at = |text: &str| Placed {
            component: web.clone(),
            image: claim.images[0].image,
            address: text.parse().unwrap(),
        };
        let placed = if what == MilestoneKind::Live {
            vec![at(&format!("10.77.0.{}:8080", 10 + claim.serial.ordinal())), at("127.0.0.1:8088")]
        } else {
            Vec::new()
        };
        let milestone = Milestone {
            environment: production(),
            release: claim.release,
            serial: claim.serial,
            other: claim.replaces,
            proposal,
            what,
            component: None,
            requests: 0,
            errors: 0,
            placed,
        };
        self.say("agent", "agent", Claim::Milestone(Box::new(milestone)), true)
    }

    /// A whole release from change to live. Returns it with its proposal and its evidence.
    pub(crate) fn released(
        &self,
        ordinal: u64,
        previous: Option<u64>,
        baseline: [Option<u64>; 2],
    ) -> (Release, u64, [u64; 2]) {
        let release = self.built(ordinal, previous);
        let evidence = self.tested(&release, EvidenceOutcome::Passed, baseline);
        let proposal = self.proposed(&release);
        self.approved(proposal, "ben", "release-manager");
        self.approved(proposal, "cem", "release-manager");
        self.tick();
        self.decided(proposal);
        self.happened(proposal, MilestoneKind::Begun);
        self.happened(proposal, MilestoneKind::Live);
        (release, proposal, evidence)
    }
}

/// Runs a verb and gives what it printed with how it ended.
pub(crate) fn ran(verb: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> (String, Result<(), Fault>) {
    let mut out = Vec::new();
    let end = verb(&mut out);
    (String::from_utf8(out).unwrap(), end)
}

/// What a verb printed; it must have ended well.
pub(crate) fn printed(verb: impl FnOnce(&mut Vec<u8>) -> Result<(), Fault>) -> String {
    let (text, end) = ran(verb);
    if let Err(fault) = end {
        panic!("{fault}\n{text}");
    }
    text
}

/// Parses a verb's arguments as the command line does.
pub(crate) fn arguments<A: clap::Args>(given: &[&str]) -> A {
    let command = A::augment_args(clap::Command::new("verb"));
    let matches = command.try_get_matches_from(std::iter::once(&"verb").chain(given)).unwrap();
    A::from_arg_matches(&matches).unwrap()
}

/// The bytes of a body that must be kept.
pub(crate) fn kept(body: KeptBody) -> Vec<u8> {
    match body {
        KeptBody::Kept(body) => body.bytes,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn system() -> SystemName {
    "paydesk".parse().unwrap()
}

pub(crate) fn production() -> EnvironmentName {
    "production".parse().unwrap()
}

pub(crate) fn commit(ordinal: u64) -> Commit {
    format!("{:040x}", 0xc0_ffee_0000_0000_u64 + ordinal).parse().unwrap()
}

fn images(image: Digest) -> Vec<Image> {
    vec![Image { component: "web".parse().unwrap(), image }]
}

/// The suites of the manifest, as the builder says them.
fn suites() -> Vec<SuiteFact> {
    let manifest = Manifest::parse(MANIFEST).unwrap().manifest;
    ["unit", "end-to-end"]
        .iter()
        .map(|name| {
            let definition = &manifest.suites[&name.parse().unwrap()];
            SuiteFact {
                name: definition.name.clone(),
                kind: SuiteKind::Full,
                on: match definition.on {
                    SuiteTarget::Source => SuiteOn::Source,
                    SuiteTarget::Containers => SuiteOn::Containers,
                },
                definition: definition.digest().unwrap(),
                files: Digest::of(name.as_bytes()),
                covers: definition.requirements.iter().cloned().collect(),
            }
        })
        .collect()
}

fn change(who: &str, ordinal: u64, previous: Option<u64>) -> Change {
    let seed = PEOPLE.iter().zip(1..).find(|((name, ..), _)| *name == who).unwrap().1;
    let key = PrivateKey::from_seed(Scheme::SshSig, &[seed; 32]).unwrap();
    Change {
        system: system(),
        ordinal,
        commit: commit(ordinal),
        tree: commit(ordinal),
        branch: "main".to_owned(),
        previous,
        commits: vec![CommitFact {
            commit: commit(ordinal),
            contributors: vec![who.parse().unwrap()],
            key: Some(key.key().id()),
            requirements: vec![format!("PAY-{ordinal}").parse().unwrap()],
            problem: None,
        }],
        manifest: Digest::of(MANIFEST.as_bytes()),
        suites: suites(),
        asks: Vec::new(),
        promotions: Vec::new(),
        values: Vec::new(),
        problems: Vec::new(),
    }
}

/// Makes the charter as people do: a founding file, a draft, the founders' signatures.
fn found(
    layout: &Layout,
    dir: &TempDir,
    witness: &str,
    witness_address: SocketAddr,
    people: &[(&str, &str, bool)],
    values: &str,
) {
    let mut text = format!(
        "origin = \"log.test/paydesk\"\nwitness_quorum = 1\n\
         [[witnesses]]\nname = \"witness.test\"\noperator = \"somebody-else\"\nvkey = \"{witness}\"\nurl = \"http://{witness_address}\"\n"
    );
    for ((name, role, founder), seed) in people.iter().zip(1..) {
        let key = PrivateKey::from_seed(Scheme::SshSig, &[seed; 32]).unwrap();
        key.write_new(&dir.path().join("people").join(name), name).unwrap();
        text.push_str(&format!(
            "[people.{name}]\nkeys = [\"{}\"]\nemails = [\"{name}@example.org\"]\nroles = [\"{role}\"]\nfounder = {founder}\n",
            key.key().to_openssh()
        ));
    }
    let outside = PrivateKey::from_seed(Scheme::Ed25519, &[77; 32]).unwrap();
    outside.write_new(&dir.path().join("people/outside"), "outside").unwrap();
    text.push_str(&format!(
        "[robots]\n\
         gate = {{ role = \"gate\", controllers = [\"pim\"], host = \"main\" }}\n\
         builder = {{ role = \"builder\", controllers = [\"olga\"], host = \"main\" }}\n\
         tester = {{ role = \"tester\", controllers = [\"pim\"], host = \"main\" }}\n\
         agent = {{ role = \"agent\", controllers = [\"olga\"], host = \"main\" }}\n\
         watch = {{ role = \"watch\", controllers = [\"pim\"], host = \"main\" }}\n\
         outside = {{ role = \"outside-tester\", controllers = [\"pim\"], host = \"main\", key = \"{}\" }}\n\
         [silence]\nkinds = [\"probe-failed\", \"heartbeat-missed\"]\nlongest_s = 7200\n\
         [hosts.main]\nadministrators = [\"olga\"]\n\
         [systems.paydesk]\nremote = \"https://git.example.org/paydesk.git\"\nbranch = \"main\"\n\
         [[environments]]\nname = \"production\"\nquorum = {{ release-manager = 2 }}\nresume = {{ release-manager = 2 }}\n\
         [amendment]\nrelease-manager = 2\n{values}",
        outside.key().to_openssh()
    ));
    let founding = Founding::parse(&text).unwrap();
    let mut out = Vec::new();
    init::draft(layout, &founding, dir.path(), false, &mut out).unwrap();
    for founder in ["ben", "cem"] {
        init::sign(layout, &*super::file_signer(&dir.path().join("people").join(founder)).unwrap(), &mut out).unwrap();
    }
}

pub(crate) fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

pub(crate) fn serve(listener: TcpListener, router: Router) {
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let minute = std::time::Duration::from_secs(60);
        let limits = PublicLimits { connections: 64, head_timeout: minute };
        runtime.block_on(serve_public(listener, bounded(router, minute, REQUEST_BYTES), limits)).unwrap();
    });
}
