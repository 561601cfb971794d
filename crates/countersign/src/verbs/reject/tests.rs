use super::{Args, run};
use crate::verbs::{
    follow,
    world::{World, arguments, printed},
};
use ledger::statement::v1::EvidenceOutcome;

#[test]
fn one_no_is_enough_and_its_reason_stays_beside_the_log() {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    let reason = "the fee for ACME is wrong";
    let args = arguments::<Args>(&["paydesk-000001", "--reason", reason]);
    let text = printed(|out| run(&args, &world.as_person("cem"), out));
    assert!(
        text.starts_with(&format!(
            "proposal {proposal}, paydesk-000001 into production, is rejected by cem, in the log as "
        )),
        "{text}"
    );
    let view = world.view();
    let said = view.facts().rejections(proposal).next().unwrap();
    assert_eq!(crate::verbs::world::kept(view.log().body(said.claim.reason.unwrap()).unwrap()), reason.as_bytes());
    let all = world.log().entries(0).unwrap().concat();
    assert!(!String::from_utf8_lossy(&all).contains("ACME"));
    let reasons = follow::reasons(&follow::decide(&view, proposal).unwrap());
    assert!(reasons.iter().any(|r| r.starts_with("nobody-rejected-it: found rejections: 1;")), "{reasons:?}");
}
