use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, kept, printed, production, ran, system},
};

#[test]
fn a_person_puts_a_build_up_and_is_told_what_it_waits_for() {
    let world = World::new();
    let release = world.built(1, None);
    let text = printed(|out| run(&arguments::<Args>(&["paydesk-000001"]), &world.as_person("ada"), out));
    let facts = world.view().facts().clone();
    let said = facts.proposals().next().unwrap();
    assert_eq!((said.by.to_string().as_str(), said.claim.release, said.claim.replaces), ("ada", release.digest, None));
    assert!(
        text.starts_with(&format!(
            "proposal {}: paydesk-000001 into production\nrelease {}\n",
            said.index, release.digest
        )),
        "{text}"
    );
    assert!(text.contains("replaces nothing: this is the first release there\n"), "{text}");
    assert!(
        text.contains(
            "not granted yet: full-suites-passed: found suites not passed: end-to-end: not run; unit: not run;"
        ),
        "{text}"
    );
}

#[test]
fn an_emergency_needs_a_rule_in_the_charter_and_a_reason() {
    let world = World::new();
    world.built(1, None);
    let ask = |what: &[&str]| ran(|out| run(&arguments::<Args>(what), &world.as_person("ada"), out)).1;
    let fault = ask(&["paydesk-000001", "--emergency", "--reason", "nobody can pay"]).unwrap_err();
    assert_eq!(fault.kind(), Kind::Refused);
    assert_eq!(fault.message(), "the charter has no rule for emergencies in `production`");
    assert!(world.view().facts().proposals().next().is_none());
    let parsed = <Args as clap::Args>::augment_args(clap::Command::new("verb")).try_get_matches_from([
        "verb",
        "paydesk-000001",
        "--emergency",
    ]);
    assert!(parsed.unwrap_err().to_string().contains("--reason"), "an emergency has a reason");

    // A reason of an ordinary proposal is kept beside the log too.
    ask(&["paydesk-000001", "--reason", "as planned"]).unwrap();
    let facts = world.view().facts().clone();
    let reason = facts.proposals().next().unwrap().claim.reason.unwrap();
    assert_eq!(kept(world.log().body(reason).unwrap()), b"as planned");
}

#[test]
fn what_runs_is_replaced_and_is_not_proposed_again() {
    let world = World::new();
    let (first, _, _) = world.released(1, None, [None, None]);
    let second = world.built(2, Some(first.change));
    let json = printed(|out| {
        run(&arguments::<Args>(&[&second.digest.to_string()]), &World::json(&world.as_person("ada")), out)
    });
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["replaces"], first.digest.to_string());
    let fault = ran(|out| run(&arguments::<Args>(&["paydesk-000001"]), &world.as_person("ada"), out)).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "paydesk-000001 runs in production already"));
    assert_eq!(world.view().facts().live(&system(), &production()).len(), 1);
}

#[test]
fn a_build_that_is_not_there_or_has_another_document_is_refused() {
    let world = World::new();
    let release = world.built(1, None);
    let ask = |what: &[&str]| ran(|out| run(&arguments::<Args>(what), &world.as_person("ada"), out)).1.unwrap_err();
    let fault = ask(&["paydesk-000007"]);
    assert_eq!(fault.message(), "there is no build by the name `paydesk-000007`");
    assert_eq!(fault.hint_text(), Some("the last builds are paydesk-000001"));
    let other = world.path("other.json");
    ledger::durable::write(&other, b"{}", 0o600).unwrap();
    let fault = ask(&["paydesk-000001", "--release-document", other.to_str().unwrap()]);
    assert_eq!(fault.kind(), Kind::Untrue);
    assert!(fault.message().ends_with(&format!("is not the release document {}", release.digest)), "{fault}");
}
