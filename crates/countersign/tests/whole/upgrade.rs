//! Countersign's own program: what the charter does not list is refused by everybody else, and going from one program to
//! another loses nothing that runs.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use ledger::statement::v1::{Amendment, Claim, Consent, Edit};
use model::Digest;

use crate::{
    installation::{Installation, LONG, PROGRAM, both},
    wait::wait_for,
};

/// The roles whose processes sign statements.
const SIGNING: [&str; 4] = ["gate", "builder", "tester", "agent"];

/// What release managers say here: the usual, and amendments.
const ROLES: &str = "[roles]\nrelease-manager = [\"approval\", \"rejection\", \"exception\", \"halt\", \"resume\", \"rollback\", \
                     \"key-withdrawal\", \"erasure\", \"proposal\", \"amendment\", \"consent\"]\n";

#[test]
fn root_a_program_that_the_charter_does_not_list_is_refused_and_loses_nothing() {
    let listed = Digest::of(&fs::read(PROGRAM).unwrap());
    let programs: String = SIGNING.iter().map(|role| format!("{role} = [\"{listed}\"]\n")).collect();
    let it = Installation::make_with(&format!("[programs]\n{programs}{ROLES}"));
    it.up();
    it.first_release();

    // The same program but for one byte behind its end: it runs, and is another.
    let other = it.path("countersign-other");
    let bytes = [fs::read(PROGRAM).unwrap(), vec![0]].concat();
    fs::write(&other, &bytes).unwrap();
    fs::set_permissions(&other, fs::Permissions::from_mode(0o755)).unwrap();
    assert_ne!(Digest::of(&bytes), listed);

    it.ok(&["down", "--leave-components"]);
    let components = components(&it);
    assert!(!components.is_empty(), "components run on while the processes are away");
    up_with(&it, &other);
    it.write("version", "2");
    it.push("Version 2");
    let output = it.dir().join("output/builder.log");
    wait_for(
        "what the builder says is refused",
        LONG,
        || it.story(),
        || {
            let said = fs::read_to_string(&output).unwrap_or_default();
            said.contains("does not list the program that signed for the role").then_some(())
        },
    );
    assert_eq!(it.claims("change").len(), 1, "no word of the other builder is in the log");
    // What runs goes on, under the very processes that ran before.
    assert_eq!(it.visit("visit-under-another"), ["visits-000001", "visits-000001"]);
    assert_eq!(self::components(&it), components);

    // The amendment quorum puts it beside the one that there is, in the log and not on the host.
    it.ok(&["down", "--leave-components"]);
    it.up();
    assert_eq!(it.visit("visit-back"), ["visits-000001", "visits-000001"]);
    let both_listed = SIGNING.iter().map(|role| (role.parse().unwrap(), vec![listed, Digest::of(&bytes)])).collect();
    amend(&it, vec![Edit::Programs(both_listed)]);
    it.ok(&["down", "--leave-components"]);
    up_with(&it, &other);
    it.approve("visits-000002");
    assert_eq!(it.wait_end("visits-000002"), "live", "{}", it.story());
    let said = it.statements().into_iter().rfind(|s| s["predicateType"].as_str().unwrap().ends_with("/milestone/v1"));
    assert_eq!(said.unwrap()["predicate"]["header"]["program"], Digest::of(&bytes).to_string());
    let kept = it.kept();
    assert!(["visit-first", "visit-under-another", "visit-back"].iter().all(|v| kept.get(*v) == Some(&1)), "{kept:?}");
    it.ok(&["audit"]);
}

/// Changes the charter as one person proposes it and two others agree.
fn amend(it: &Installation, edits: Vec<Edit>) {
    let charter = it.founding_charter();
    let becomes = ledger::charter::apply(&charter, &edits).unwrap().digest();
    let amendment = Amendment { from: charter.digest(), becomes, edits };
    let index = it.say("fay", "release-manager", Claim::Amendment(Box::new(amendment))).index();
    for person in ["cora", "dan"] {
        let consent = Consent { amendment: index, becomes, shown: Digest::of(b"shown") };
        it.say(person, "release-manager", Claim::Consent(consent)).index();
    }
}

/// Starts the processes with another program.
fn up_with(it: &Installation, program: &Path) {
    let mut command = Command::new(program);
    command.args(["up", "--detach", "--dir"]).arg(it.dir()).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}\n{}", both(&output), it.story());
}

/// The process ids of the first process of each container of this installation: what they start comes and goes.
fn components(it: &Installation) -> Vec<PathBuf> {
    let scope = it.scope();
    let mut found: Vec<PathBuf> = fs::read_dir("/proc")
        .unwrap()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| {
            fs::read_to_string(path.join("cgroup")).is_ok_and(|text| text.contains(scope) && text.contains("agent"))
                && is_first(path)
        })
        .collect();
    found.sort();
    found
}

/// Whether a process is the first of a process namespace below this one (proc(5), `NSpid`).
fn is_first(process: &Path) -> bool {
    let status = fs::read_to_string(process.join("status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:")).unwrap_or_default();
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    numbers.len() > 1 && numbers.last() == Some(&"1")
}
