use super::{Args, run};
use crate::{
    fault::Kind,
    verbs::world::{World, arguments, printed, ran},
};
use ledger::statement::v1::EvidenceOutcome;

fn proposed() -> (World, u64) {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    (world, proposal)
}

#[test]
fn what_is_shown_is_signed_and_the_quorum_is_told() {
    let (world, proposal) = proposed();
    let first = printed(|out| run(&arguments::<Args>(&["paydesk-000001", "--yes"]), &world.as_person("ben"), out));
    let text = gate::shown(world.view().facts(), proposal).unwrap();
    let digest = model::Digest::of(text.as_bytes());
    assert!(first.starts_with(&text), "{first}");
    assert!(first.contains(&format!("what is shown above has the digest {digest}\n")), "{first}");
    assert!(first.contains("\n1 of 2 approvals (ben); 1 more needed\n"), "{first}");
    assert!(first.contains("not granted: quorum-has-approved: found approvals: 1, approvals needed: 2;"), "{first}");
    // The same person again is one person.
    let again = printed(|out| run(&arguments::<Args>(&["paydesk-000001", "--yes"]), &world.as_person("ben"), out));
    assert!(again.contains("\n1 of 2 approvals (ben); 1 more needed\n"), "{again}");
    let second = printed(|out| run(&arguments::<Args>(&[&proposal.to_string(), "-y"]), &world.as_person("cem"), out));
    assert!(second.contains("\n2 of 2 approvals (ben, cem): the quorum is met\ngranted; "), "{second}");
}

#[test]
fn nobody_signs_without_being_asked() {
    let (world, proposal) = proposed();
    let before = world.view().facts().size();
    let (text, end) = ran(|out| run(&arguments::<Args>(&[&proposal.to_string()]), &world.as_person("ben"), out));
    // Where the tests have a terminal there is nobody who answers either.
    let fault = end.unwrap_err();
    assert!(text.contains("what is shown above has the digest"), "{text}");
    assert!(["nobody can be asked here", "nothing was signed"].contains(&fault.message().as_str()), "{fault}");
    assert_eq!(world.view().facts().size(), before);
}

#[test]
fn who_holds_no_role_for_it_is_refused() {
    let (world, proposal) = proposed();
    let give = |who: &str, more: &[&str]| {
        let index = proposal.to_string();
        let given: Vec<&str> = [index.as_str(), "--yes"].into_iter().chain(more.iter().copied()).collect();
        ran(|out| run(&arguments::<Args>(&given), &world.as_person(who), out))
    };
    let fault = give("ada", &[]).1.unwrap_err();
    assert_eq!((fault.kind(), fault.message().as_str()), (Kind::Refused, "ada holds no role that may say `approval`"));
    assert_eq!(fault.hint_text(), Some("the charter lets release-manager say it"));
}

/// A release manager who wrote a commit of it does not count; signed all the same, the gate does not count it.
#[test]
fn a_contributors_approval_is_refused_and_if_signed_does_not_count() {
    let (world, first) = proposed();
    let change = world.change_by("ben", 2, Some(world.view().facts().proposal(first).unwrap().claim.change));
    let release = world.build_of(change, 2);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    let give = |more: &[&str]| {
        let index = proposal.to_string();
        let given: Vec<&str> = [index.as_str(), "--yes"].into_iter().chain(more.iter().copied()).collect();
        ran(|out| run(&arguments::<Args>(&given), &world.as_person("ben"), out))
    };
    let fault = give(&[]).1.unwrap_err();
    let commit = crate::verbs::world::commit(2).short();
    assert_eq!(
        (fault.kind(), fault.message()),
        (Kind::Refused, format!("this approval would not count: ben contributed to it, with the commits {commit}"))
    );
    assert_eq!(fault.hint_text(), Some("others can: cem"));
    let (text, end) = give(&["--even-if-it-will-not-count"]);
    end.unwrap();
    assert!(text.contains("\nit does not count\n0 of 2 approvals; 2 more needed\n"), "{text}");
    assert!(text.contains("approvals by contributors: ben"), "{text}");
    assert_eq!(world.view().facts().approvals(proposal).count(), 1);
}
