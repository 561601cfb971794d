use ledger::statement::v1::Ruling;

use super::*;
use crate::world::World;

mod table;

fn ruling(world: &World, proposal: u64) -> Ruling {
    decide(&world.facts(), proposal).unwrap().verdict.ruling
}

#[test]
fn the_green_world_is_granted() {
    let (world, _, second) = World::two();
    assert!(matches!(ruling(&world, second.proposal), Ruling::Granted { .. }), "{:?}", ruling(&world, second.proposal));
}
