//! What the log concludes from its witnesses' answers.

use super::*;

#[test]
fn one_liar_does_not_stop_the_log_and_a_quorum_lost_does() {
    let world = crate::verbs::world::World::new();
    let mut charter = world.members.charter().clone();
    let witness = |name: &str, operator: &str| WitnessKey {
        name: name.to_owned(),
        operator: operator.to_owned(),
        vkey: String::new(),
        url: String::new(),
    };
    charter.witnesses = vec![witness("a", "one"), witness("b", "two"), witness("c", "three"), witness("d", "three")];
    charter.witness_quorum = 2;
    let mut round = Round::default();
    assert_eq!(round.reason_to_stop(&charter), None);
    let says = |operator: &str| (operator.to_owned(), SetBack::Fork(operator.to_owned()));
    round.set_back.extend([says("three")]);
    assert_eq!(round.reason_to_stop(&charter), None, "one liar");
    round.set_back.extend([says("two")]);
    assert!(round.reason_to_stop(&charter).is_some(), "two of three");
    round.cosigned.insert("three".to_owned());
    assert_eq!(round.reason_to_stop(&charter), None, "another witness of the same operator cosigned");
    charter.witnesses.truncate(1);
    charter.witness_quorum = 1;
    let alone = Round { set_back: [says("one")].into(), ..Round::default() };
    assert_eq!(alone.reason_to_stop(&charter), Some(&SetBack::Fork("one".to_owned())));
}

#[test]
fn a_witness_at_a_port_that_was_not_opened_is_told_with_what_to_do() {
    let world = crate::verbs::world::World::new();
    let mut charter = world.members.charter().clone();
    let witness = |url: &str| WitnessKey {
        name: "w".to_owned(),
        operator: "one".to_owned(),
        vkey: String::new(),
        url: url.to_owned(),
    };
    charter.witnesses = vec![witness("http://192.0.2.7:7075/prefix"), witness("unix:/run/witness")];
    assert_eq!(out_of_reach(&charter, &[7075].into()), [] as [&str; 0]);
    charter.witnesses.push(witness("http://192.0.2.8:7099"));
    let told = out_of_reach(&charter, &[7075].into());
    assert_eq!(
        told,
        ["a restart: add 7099 to `witness_ports` in settings.json, so that the log may reach the witness w"]
    );
    assert_eq!(out_of_reach(&charter, &[7075, 7099].into()), [] as [&str; 0]);
}
