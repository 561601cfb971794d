use super::{Args, run};
use crate::verbs::world::{World, arguments, printed, ran};
use ledger::statement::v1::EvidenceOutcome;

#[test]
fn a_release_that_runs_is_told_with_what_it_rests_on() {
    let world = World::new();
    let (_, proposal, _) = world.released(1, None, [None, None]);
    let text = printed(|out| run(&arguments::<Args>(&["paydesk/production"]), &world.common, out));
    assert!(
        text.starts_with(&format!(
            "proposal {proposal}: paydesk-000001 into production, which runs there\nGRANTED until "
        )),
        "{text}"
    );
    assert!(text.contains("2 of 2 approvals (ben, cem): the quorum is met\n"), "{text}");
    assert!(text.contains("the gate last said the same, at "), "{text}");
    for kind in ["change", "build", "evidence", "approval", "tick"] {
        assert!(text.contains(&format!("  {kind:<14} ")), "{kind} is missing:\n{text}");
    }
}

#[test]
fn a_refusal_names_every_rule_what_is_there_and_what_is_needed() {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Failed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    let text = printed(|out| run(&arguments::<Args>(&["paydesk-000001"]), &world.common, out));
    assert!(text.contains("REFUSED for 3 reasons\n"), "{text}");
    assert!(
        text.contains("  rule   full-suites-passed\n  found  suites not passed: end-to-end: failed, 1 of 6 cases\n"),
        "{text}"
    );
    assert!(text.contains("  rule   quorum-has-approved\n  found  approvals: 1, approvals needed: 2\n"), "{text}");
    assert!(
        text.contains("  needed approvals of exactly this transition by people who did not contribute to it\n"),
        "{text}"
    );
    assert!(text.contains("the gate has said nothing about it yet\n"), "{text}");
    let json = printed(|out| run(&arguments::<Args>(&[&proposal.to_string()]), &World::json(&world.common), out));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!((json[0]["granted"].as_bool(), json[0]["reasons"].as_array().map(Vec::len)), (Some(false), Some(3)));
}

#[test]
fn what_is_not_there_is_said_with_a_hint() {
    let world = World::new();
    let ask = |what: &str| ran(|out| run(&arguments::<Args>(&[what]), &world.common, out)).1.unwrap_err();
    let fault = ask("paydesk-000009");
    assert_eq!(fault.message(), "nothing is proposed by the name `paydesk-000009`");
    assert_eq!(fault.hint_text(), Some("`countersign log` lists what there is, `countersign propose` puts a build up"));
    assert_eq!(ask("12").message(), "there is no proposal at log index 12");
    assert_eq!(ask("paydesk/staging").message(), "the charter has no environment `staging`");
    assert_eq!(ask("Not A Name").message(), "`Not A Name` names nothing that the log knows");
}
