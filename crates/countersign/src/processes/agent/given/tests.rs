use ledger::{
    keys::{PrivateKey, Scheme, Signer as _},
    statement::v1::Charter,
};

use super::*;
use crate::verbs::world::{World, production, system};

fn key_of(robot: &str, charter: &Charter) -> KeyId {
    let robot = charter.robots.iter().find(|r| r.id.as_str() == robot).unwrap();
    ledger::statement::public_key(&robot.key).unwrap().id()
}

fn amended(charter: &Charter, edit: impl FnOnce(&mut Charter)) -> Members {
    let mut charter = charter.clone();
    edit(&mut charter);
    let hash = charter.digest();
    Members::of(charter, hash).unwrap()
}

#[test]
fn what_the_charter_in_force_says_is_what_counts() {
    let world = World::new();
    let founding = world.members.charter();
    let agent = key_of("agent", founding);
    let rule_in = |members: &Members| rule(members, agent, &system(), &production()).map(|rule| rule.max_age_s);
    assert_eq!(rule_in(&world.members), founding.environment(&production()).map(|rule| rule.max_age_s));
    // Tightened, for whoever began under the old one too.
    let tight = amended(founding, |c| c.environments.iter_mut().for_each(|rule| rule.max_age_s = 7));
    assert_eq!(rule_in(&tight), Some(7));
    // Given another environment only: nothing of production.
    let elsewhere = |c: &mut Charter| {
        let mut test = c.environments[0].clone();
        test.name = "elsewhere".parse().unwrap();
        c.environments.push(test);
        c.robots.iter_mut().for_each(|robot| robot.environments = vec!["elsewhere".parse().unwrap()]);
    };
    let members = amended(founding, elsewhere);
    assert_eq!(rule_in(&members), None);
    let names: Vec<&str> = given(&members, agent).iter().map(|(_, rule)| rule.name.as_str()).collect();
    assert_eq!(names, ["elsewhere"]);
    // A key that the charter does not know is given nothing, and not everything.
    let stranger = PrivateKey::from_seed(Scheme::Ed25519, &[9; 32]).unwrap().key().id();
    assert!(given(&world.members, stranger).is_empty());
    // Known under a role of its own by an amendment, it is given what that says.
    let other = key_of("tester", founding);
    let members = amended(founding, |c| c.robots.retain(|robot| robot.id.as_str() != "agent"));
    assert!(given(&members, agent).is_empty());
    assert!(!given(&members, other).is_empty());
}
