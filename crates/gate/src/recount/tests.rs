use ledger::statement::v1::{Claim, MilestoneKind, Proposal, Ruling, Seen};

use super::*;
use crate::{
    decide,
    world::{Put, World},
};

fn recount(world: &World, behind: usize) -> (Vec<(u64, &'static str)>, u64) {
    let mut count = Recount::new(world.members()).unwrap();
    count.behind = behind;
    for entry in world.verified() {
        count.take(entry, false).unwrap();
    }
    count.finish().unwrap();
    let mut found = count.take_found();
    let mut verdicts = count.verdicts();
    if let Some(mut again) = count.again() {
        assert_eq!(count.settled(), Some(world.size()), "nothing is put off twice");
        for entry in world.verified() {
            again.take(entry, true).unwrap();
        }
        again.finish().unwrap();
        found.extend(again.take_found());
        verdicts = again.verdicts();
    }
    found.sort_by_key(Contradiction::index);
    let word = |c: &Contradiction| match c {
        Contradiction::Ruling { .. } => "ruling",
        Contradiction::Undecidable { .. } => "undecidable",
        Contradiction::Ahead { .. } => "ahead",
        Contradiction::Unfounded { .. } => "unfounded",
        Contradiction::Returned { .. } => "returned",
    };
    (found.iter().map(|c| (c.index(), word(c))).collect(), verdicts)
}

fn verdict(world: &mut World, put: &Put, edit: impl FnOnce(&mut Verdict)) -> u64 {
    let mut verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    edit(&mut verdict);
    world.say("gate", "gate", Claim::Verdict(Box::new(verdict)))
}

fn begun(world: &mut World, put: &Put, size: u64) -> u64 {
    let milestone = world.good_milestone(put, MilestoneKind::Begun);
    let seen = seen(world, size);
    world.say_with("agent", "agent", Claim::Milestone(Box::new(milestone)), |h| h.seen = Some(seen))
}

fn seen(world: &World, size: u64) -> Seen {
    let note = world.note(usize::try_from(size).unwrap(), &[]);
    let note = ledger::note::Note::parse(note.as_bytes()).unwrap();
    Seen { size, root: note.text().parse::<ledger::checkpoint::Checkpoint>().unwrap().root }
}

#[test]
fn what_follows_is_let_be_and_what_does_not_is_named() {
    let (mut world, first, second) = World::two();
    let before = world.size();
    verdict(&mut world, &second, |_| {});
    let size = world.size();
    begun(&mut world, &second, size);
    let lie = verdict(&mut world, &second, |v| v.ruling = Ruling::Refused { reasons: Vec::new() });
    let ahead = verdict(&mut world, &second, |v| v.size += 100);
    let nothing = verdict(&mut world, &second, |v| v.proposal = first.build);
    let other = verdict(&mut world, &first, |v| v.decide = "0".to_owned());
    let third = world.put(3, Some(&second));
    let size = world.size();
    let unfounded = begun(&mut world, &third, size);
    let unseen = begun(&mut world, &second, 2);
    let _ = (before, other);
    for behind in [0, 1, 3, 512] {
        let (found, verdicts) = recount(&world, behind);
        assert_eq!(
            found,
            [
                (lie, "ruling"),
                (ahead, "ahead"),
                (nothing, "undecidable"),
                (unfounded, "unfounded"),
                (unseen, "unfounded")
            ],
            "{behind} behind"
        );
        assert_eq!(verdicts, 3, "{behind} behind");
    }
}

#[test]
fn what_was_counted_before_is_believed() {
    let (mut world, _, second) = World::two();
    verdict(&mut world, &second, |v| v.ruling = Ruling::Granted { until: v.at.plus_s(9) });
    let known = world.size();
    let size = world.size();
    begun(&mut world, &second, size);
    let mut count = Recount::new(world.members()).unwrap();
    for entry in world.verified() {
        let is_known = entry.index() < known;
        count.take(entry, is_known).unwrap();
    }
    count.finish().unwrap();
    assert_eq!((count.verdicts(), count.take_found().len()), (0, 0));
}

fn moved(world: &mut World, put: &Put, what: MilestoneKind) -> u64 {
    let size = world.size();
    let milestone = world.good_milestone(put, what);
    let seen = seen(world, size);
    world.say_with("agent", "agent", Claim::Milestone(Box::new(milestone)), |h| h.seen = Some(seen))
}

#[test]
fn what_comes_live_without_a_beginning_needs_a_verdict_too() {
    let (mut world, _, second) = World::two();
    moved(&mut world, &second, MilestoneKind::Live);
    let third = world.put(3, Some(&second));
    let unfounded = moved(&mut world, &third, MilestoneKind::Live);
    for behind in [0, 512] {
        assert_eq!(recount(&world, behind).0, [(unfounded, "unfounded")], "{behind} behind");
    }
}

#[test]
fn a_grant_ends_and_is_not_found_again_by_naming_what_was_long_ago() {
    for wait_s in [60, 100_000] {
        let (mut world, _, second) = World::two();
        let granted = world.size();
        verdict(&mut world, &second, |_| {});
        world.wait(60);
        world.reject("ada", &second);
        world.wait(60);
        world.wait(wait_s);
        // Said lately after the rejection, it may have been done before; said long after it, it was not.
        let by_now = moved(&mut world, &second, MilestoneKind::Begun);
        let by_then = begun(&mut world, &second, granted);
        let expected: &[_] = if wait_s == 60 { &[] } else { &[(by_now, "unfounded"), (by_then, "unfounded")] };
        for behind in [0, 512] {
            assert_eq!(recount(&world, behind).0, expected, "{wait_s} s, {behind} behind");
        }
    }
}

#[test]
fn only_what_ran_immediately_before_is_gone_back_to() {
    let (mut world, first, second) = World::two();
    moved(&mut world, &second, MilestoneKind::Begun);
    moved(&mut world, &second, MilestoneKind::Live);
    world.wait(60);
    let third = world.go_live(3, Some(&second));
    world.wait(100_000);
    let too_far = moved(&mut world, &first, MilestoneKind::Begun);
    moved(&mut world, &second, MilestoneKind::Begun);
    moved(&mut world, &second, MilestoneKind::Live);
    let again = moved(&mut world, &first, MilestoneKind::Live);
    let _ = third;
    for behind in [0, 512] {
        // Its beginning was found already; this is that rollout's end.
        assert!(again > too_far);
        assert_eq!(recount(&world, behind).0, [(too_far, "unfounded")], "{behind} behind");
    }
}

/// Row by row: nobody approved, the first transition's verdict, one of its own time, and that one used a second time.
#[test]
fn what_is_brought_back_needs_a_verdict_of_its_own_time() {
    let mut world = World::founded(crate::world::charter());
    let first = world.go_live(1, None);
    let second = world.go_live(2, Some(&first));
    moved(&mut world, &first, MilestoneKind::Retired);
    let by_the_first = moved(&mut world, &first, MilestoneKind::BroughtBack);
    moved(&mut world, &first, MilestoneKind::Retired);
    let claim = Proposal { replaces: Some(second.claim.release), ..first.claim.clone() };
    let again = Put { proposal: world.propose(claim.clone()), claim, evidence: first.evidence.clone(), ..first };
    let not_approved = moved(&mut world, &again, MilestoneKind::BroughtBack);
    world.approve("ada", &again);
    let by_one = moved(&mut world, &again, MilestoneKind::BroughtBack);
    world.approve_both(&again);
    verdict(&mut world, &again, |_| {});
    moved(&mut world, &again, MilestoneKind::BroughtBack);
    moved(&mut world, &again, MilestoneKind::Retired);
    let used = moved(&mut world, &again, MilestoneKind::BroughtBack);
    for behind in [0, 1, 3, 512] {
        assert_eq!(
            recount(&world, behind).0,
            [(by_the_first, "returned"), (not_approved, "returned"), (by_one, "returned"), (used, "returned")],
            "{behind} behind"
        );
    }
}
