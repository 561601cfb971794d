use ledger::{
    merkle::{History, inclusion_proof},
    statement::v1::{Claim, MilestoneKind},
};

use super::*;
use crate::{
    decide,
    policy::Policy,
    world::{Put, World, dig},
};

mod parsing;
mod table;
mod telling;

/// The second release of the world with the gate's verdict on it, and where that stands.
pub(super) fn judged() -> (World, Put, u64) {
    let (mut world, _, second) = World::two();
    let index = say_verdict(&mut world, &second);
    (world, second, index)
}

/// The gate says what `decide` says.
pub(super) fn say_verdict(world: &mut World, put: &Put) -> u64 {
    let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    world.say("gate", "gate", Claim::Verdict(Box::new(verdict)))
}

/// The checkpoint of everything, cosigned now.
pub(super) fn note(world: &World) -> String {
    world.note(world.entries().len(), &[("alpha", world.now)])
}

pub(super) fn whole(world: &World, verdict: u64) -> Bundle {
    let entries = world.entries().iter().enumerate();
    let entries = entries.map(|(i, bytes)| Entry { index: i as u64, proof: Vec::new(), bytes: bytes.clone() });
    Bundle {
        form: Form::Whole,
        charter: world.hash(),
        verdict,
        entries: entries.collect(),
        bodies: Vec::new(),
        note: note(world),
    }
}

pub(super) fn selected(world: &World, verdict: u64) -> Bundle {
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let chosen = select(&world.members(), &policy, &world.statements(), verdict).unwrap();
    let mut tree = History::new();
    world.entries().iter().for_each(|entry| tree.push_entry(entry));
    let entry = |index: u64| Entry {
        index,
        proof: inclusion_proof(&tree, index, world.size()).unwrap(),
        bytes: world.entries()[usize::try_from(index).unwrap()].clone(),
    };
    Bundle { form: Form::Selected, entries: chosen.into_iter().map(entry).collect(), ..whole(world, verdict) }
}

pub(super) fn check(world: &World, bundle: &Bundle) -> Result<Report, VerifyError> {
    verify(bundle.to_text().as_bytes(), world.hash())
}

/// An error with all its causes, as it is printed.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
