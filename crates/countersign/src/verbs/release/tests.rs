use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, printed, ran},
};
use ledger::statement::v1::{EvidenceOutcome, MilestoneKind};

fn granted() -> (World, u64) {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    world.approved(proposal, "cem", "release-manager");
    world.tick();
    world.decided(proposal);
    (world, proposal)
}

#[test]
fn it_is_followed_until_it_is_live() {
    let (world, proposal) = granted();
    let text = std::thread::scope(|scope| {
        let followed = scope.spawn(|| printed(|out| run(&arguments::<Args>(&["--wait-s", "30"]), &world.common, out)));
        world.happened(proposal, MilestoneKind::Begun);
        world.happened(proposal, MilestoneKind::Switched);
        world.happened(proposal, MilestoneKind::Live);
        followed.join().unwrap()
    });
    assert!(text.ends_with("\n") && text.contains("paydesk-000001 runs in production"), "{text}");
    let text = printed(|out| run(&arguments::<Args>(&[]), &world.common, out));
    assert!(text.starts_with("paydesk-000001 runs in production since statement "), "{text}");
}

#[test]
fn going_back_refusal_and_nothing_proposed_are_told_apart() {
    let world = World::new();
    let fault = ran(|out| run(&arguments::<Args>(&[]), &world.common, out)).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message().as_str()),
        (Kind::Refused, "nothing of paydesk is proposed for production")
    );
    let release = world.built(1, None);
    let proposal = world.proposed(&release);
    let fault = ran(|out| run(&arguments::<Args>(&[]), &world.common, out)).1.unwrap_err();
    assert!(
        fault.message().starts_with(&format!("paydesk-000001 into production (proposal {proposal}) is not granted: ")),
        "{fault}"
    );

    let (world, proposal) = granted();
    let fault = ran(|out| run(&arguments::<Args>(&["--wait-s", "0"]), &world.common, out)).1.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message()),
        (Kind::Unavailable, format!("proposal {proposal} is still on its way"))
    );
    world.happened(proposal, MilestoneKind::Begun);
    world.happened(proposal, MilestoneKind::WentBackErrors);
    let (text, end) = ran(|out| run(&arguments::<Args>(&[]), &world.common, out));
    let fault = end.unwrap_err();
    assert_eq!(
        (fault.kind(), fault.message()),
        (Kind::Refused, format!("proposal {proposal} went back: too many requests failed"))
    );
    assert!(text.contains("milestone  paydesk-000001 in production: begun\n"), "{text}");
}
