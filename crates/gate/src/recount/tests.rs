use ledger::statement::v1::{Claim, MilestoneKind, Ruling, Seen};

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
    let root = model::Digest::of(b"not looked at here");
    world.say_with("agent", "agent", Claim::Milestone(Box::new(milestone)), |h| h.seen = Some(Seen { size, root }))
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
