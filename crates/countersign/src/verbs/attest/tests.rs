use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    statement::{
        PAYLOAD_TYPE,
        v1::{EvidenceOn, EvidenceOutcome},
    },
};
use serde_json::{Value, json};

use super::{Args, run};
use crate::{
    fault::{Fault, Kind},
    verbs::world::{MANIFEST, Release, World, arguments, commit, ran},
};

fn outside_world() -> (World, Release) {
    let world = World::new();
    let release = world.built(1, None);
    ledger::durable::write(&world.path("countersign.toml"), MANIFEST.as_bytes(), 0o644).unwrap();
    (world, release)
}

fn attest(world: &World, given: &[&str]) -> (String, Result<(), Fault>) {
    let manifest = world.path("countersign.toml").display().to_string();
    let given: Vec<&str> = given.iter().copied().chain(["--manifest", manifest.as_str()]).collect();
    ran(|out| run(&arguments::<Args>(&given), &world.as_person("outside"), out))
}

fn report(world: &World, xml: &str) -> String {
    let path = world.path("report.xml");
    ledger::durable::write(&path, xml.as_bytes(), 0o644).unwrap();
    path.display().to_string()
}

const GREEN: &str = r#"<testsuite name="unit"><testcase classname="fee" name="rounds"/><testcase classname="fee" name="caps"/></testsuite>"#;

#[test]
fn a_report_of_another_system_becomes_evidence_about_the_commit() {
    let (world, release) = outside_world();
    let path = report(&world, GREEN);
    let commit = commit(1).to_string();
    let given =
        ["--suite", "unit", "--build", "paydesk-000001", "--junit", &path, "--exit-code", "0", "--commit", &commit];
    let (text, end) = attest(&world, &given);
    end.unwrap_or_else(|f| panic!("{f}"));
    assert!(
        text.contains(": suite unit (full, on the source tree) passed: 2 passed, 0 failed, 0 skipped, 0 flaky\n"),
        "{text}"
    );
    let view = world.view();
    let said = view.facts().evidence(release.change).next().unwrap();
    assert_eq!(said.by.to_string(), "robot outside");
    assert_eq!(said.claim.covers, ["PAY-1".parse().unwrap()]);
    let cases = crate::verbs::world::kept(view.log().body(said.claim.cases.unwrap()).unwrap());
    assert_eq!(build::suite::CaseList::from_bytes(&cases).unwrap().cases().len(), 2);
}

#[test]
fn a_green_report_with_a_failing_command_or_no_cases_is_not_tested() {
    let (world, _) = outside_world();
    let commit = commit(1).to_string();
    let (green, empty) = (report(&world, GREEN), world.path("empty.xml").display().to_string());
    ledger::durable::write(empty.as_ref(), b"<testsuite name=\"unit\"/>", 0o644).unwrap();
    for (path, code, reason) in [(&green, "1", "exit"), (&empty, "0", "the report has no test case")] {
        let given =
            ["--suite", "unit", "--build", "paydesk-000001", "--junit", path, "--exit-code", code, "--commit", &commit];
        let (text, end) = attest(&world, &given);
        end.unwrap_or_else(|f| panic!("{f}"));
        assert!(text.contains("NOT TESTED"), "{text}");
        assert!(text.contains(reason), "`{reason}` is missing: {text}");
    }
}

#[test]
fn what_does_not_fit_the_log_is_refused() {
    let (world, release) = outside_world();
    let path = report(&world, GREEN);
    let base = ["--build", "paydesk-000001", "--junit", &path, "--exit-code", "0"];
    let refuse = |more: &[&str]| attest(&world, &[&base[..], more].concat()).1.unwrap_err();
    let (right, wrong) = (commit(1).to_string(), commit(9).to_string());
    let fault = refuse(&["--suite", "unit", "--commit", &wrong]);
    assert_eq!(fault.kind(), Kind::Refused);
    assert!(fault.message().starts_with(&format!("commit {wrong} is not the one of the change")), "{fault}");
    let fault = refuse(&["--suite", "end-to-end", "--commit", &right]);
    assert_eq!(fault.message(), "`end-to-end` runs on containers; a source tree says nothing of them");
    let (digest, image) = (release.digest.to_string(), format!("web={}", commit(1)));
    let fault = refuse(&["--suite", "end-to-end", "--release", &digest, "--image", &image]);
    assert_eq!(fault.kind(), Kind::Usage);
    let image = format!("web=sha256:{}", "bb".repeat(32));
    let fault = refuse(&["--suite", "end-to-end", "--release", &digest, "--image", &image]);
    assert!(fault.message().starts_with(&format!("that is not the release {digest} with every image")), "{fault}");
    let fault = refuse(&["--suite", "nightly", "--commit", &right]);
    assert_eq!(
        (fault.message().as_str(), fault.hint_text()),
        ("paydesk-000001 has no suite `nightly`", Some("it has unit, end-to-end"))
    );
    ledger::durable::write(&world.path("countersign.toml"), b"system = \"other\"\n", 0o644).unwrap();
    let fault = refuse(&["--suite", "unit", "--commit", &right]);
    assert!(fault.message().ends_with("is not the manifest of paydesk-000001"), "{fault}");
}

#[test]
fn a_person_or_a_robot_without_the_role_can_not_attest() {
    let (world, _) = outside_world();
    let path = report(&world, GREEN);
    let commit = commit(1).to_string();
    let manifest = world.path("countersign.toml").display().to_string();
    let args = arguments::<Args>(&[
        "--suite",
        "unit",
        "--build",
        "paydesk-000001",
        "--junit",
        &path,
        "--exit-code",
        "0",
        "--commit",
        &commit,
        "--manifest",
        &manifest,
    ]);
    let fault = ran(|out| run(&args, &world.as_person("ben"), out)).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "ben holds no role that may say `evidence`"));
}

fn result(world: &World, key: &PrivateKey, subject: &Value, predicate: &Value) -> String {
    let statement = json!({
        "_type": "https://in-toto.io/Statement/v1", "subject": [subject],
        "predicateType": "https://in-toto.io/attestation/test-result/v0.1", "predicate": predicate,
    });
    let envelope = Envelope::seal(PAYLOAD_TYPE, statement.to_string().into_bytes(), key).unwrap();
    let path = world.path("result.dsse.json");
    ledger::durable::write(&path, &envelope.canonical_bytes(), 0o644).unwrap();
    path.display().to_string()
}

#[test]
fn an_in_toto_test_result_is_verified_and_judged() {
    let (world, release) = outside_world();
    let outside = PrivateKey::from_seed(Scheme::Ed25519, &[77; 32]).unwrap();
    let subject = json!({ "name": "web", "digest": { "sha256": release.image.hex() } });
    let give = |path: &str| attest(&world, &["--envelope", path, "--suite", "end-to-end", "--build", "paydesk-000001"]);
    let passed = json!({ "result": "PASSED", "configuration": [], "passedTests": ["pays <once>", "refunds & logs"] });
    let (text, end) = give(&result(&world, &outside, &subject, &passed));
    end.unwrap_or_else(|f| panic!("{f}"));
    assert!(text.contains(": suite end-to-end (full, on containers) passed: 2 passed, 0 failed"), "{text}");
    {
        let view = world.view();
        let said = view.facts().evidence(release.change).next().unwrap();
        assert!(matches!(&said.claim.on, EvidenceOn::Containers { release: r, .. } if *r == release.digest));
    }
    let failed =
        json!({ "result": "FAILED", "passedTests": ["pays <once>"], "failedTests": ["refunds & logs"], "unknown": 1 });
    let (text, end) = give(&result(&world, &outside, &subject, &failed));
    end.unwrap_or_else(|f| panic!("{f}"));
    assert!(text.contains("FAILED (failed): 1 passed, 1 failed"), "{text}");
    let warned = json!({ "result": "WARNED", "passedTests": ["pays <once>"], "warnedTests": ["refunds & logs"] });
    let (text, end) = give(&result(&world, &outside, &subject, &warned));
    end.unwrap_or_else(|f| panic!("{f}"));
    assert!(text.contains("NOT TESTED (skipped): 1 passed, 0 failed, 1 skipped"), "{text}");

    let stranger = PrivateKey::generate(Scheme::Ed25519).unwrap();
    let fault = give(&result(&world, &stranger, &subject, &passed)).1.unwrap_err();
    assert_eq!(fault.kind(), Kind::Untrue);
    let other = json!({ "name": "web", "digest": { "sha256": "cd".repeat(32) } });
    let fault = give(&result(&world, &outside, &other, &passed)).1.unwrap_err();
    assert!(fault.message().ends_with("is no image of paydesk-000001"), "{fault}");
}

/// Evidence of our own kind goes into the log as it was signed.
#[test]
fn our_own_kind_is_appended_as_it_is() {
    let (world, release) = outside_world();
    let [unit, _] = world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let bytes = world.log().entries(unit).unwrap().remove(0);
    let path = world.path("own.dsse.json");
    ledger::durable::write(&path, &bytes, 0o644).unwrap();
    let (text, end) = attest(&world, &["--envelope", path.to_str().unwrap()]);
    end.unwrap_or_else(|f| panic!("{f}"));
    // The same statement has the index that it had.
    assert!(text.starts_with(&format!("in the log as {unit}: suite unit ")), "{text}");
    let proposal = world.proposed(&release);
    ledger::durable::write(&path, &world.log().entries(proposal).unwrap().remove(0), 0o644).unwrap();
    let fault = attest(&world, &["--envelope", path.to_str().unwrap()]).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "this is a proposal, not evidence"));
}
