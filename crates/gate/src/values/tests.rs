//! Whoever tries to change where money goes: alone, twice, early, over somebody's no, or by an old value.

use ledger::statement::v1::{AlarmKind, Amendment, Claim, Consent, Kind, Ruling, ValueProposal};
use model::Digest;

use super::*;
use crate::{
    Current, CurrentError, Facts, current, decide,
    policy::Policy,
    world::{COOL_OFF_S, DAY, EPOCH, World, at, dig, guarded, payout, production, quorum},
};

fn world() -> World {
    World::founded(guarded())
}

fn state(world: &World, proposal: u64) -> State {
    world.ask_payout(|view| view.proposals.iter().find(|s| s.proposal.index == proposal).unwrap().state)
}

fn unfit(world: &World, proposal: u64) -> Vec<Unfit> {
    let of = |view: ValueView<'_>| view.proposals.iter().find(|s| s.proposal.index == proposal).unwrap().unfit.clone();
    world.ask_payout(of).into_values().collect()
}

#[test]
fn a_value_takes_two_guardians_and_its_time() {
    let mut world = world();
    let proposal = world.propose_value("tom", "treasurer", "first", None);
    assert_eq!(state(&world, proposal), State::Open);
    world.approve_value("hal", proposal);
    world.wait(COOL_OFF_S);
    assert_eq!(state(&world, proposal), State::Open, "one guardian, whatever time passes");
    world.approve_value("ida", proposal);
    assert_eq!(state(&world, proposal), State::CoolingOff);
    world.wait(60);
    let begun = world.now;
    world.wait(COOL_OFF_S - 1);
    assert_eq!(world.payout_in_force(), None, "a second is missing");
    let tick = world.wait(1);
    assert_eq!(world.now, begun + COOL_OFF_S);
    let now = world.ask_payout(|view| view.in_force).unwrap();
    assert_eq!((now.proposal, now.value, now.since), (proposal, dig("first"), tick));
    assert_eq!(state(&world, proposal), State::InForce);
}

/// A row an attempt; none of them ever comes into force.
#[test]
fn nobody_puts_a_value_in_force_alone() {
    type Attempt = fn(&mut World) -> u64;
    let rows: [(&str, Attempt, &[Unfit]); 9] = [
        (
            "two keys of one guardian",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                w.approve_value("gil", proposal);
                w.approve_value("gil/2", proposal);
                proposal
            },
            &[],
        ),
        (
            "the proposer approves, by another key too",
            |w| {
                let proposal = w.propose_value("gil", "guardian", "x", None);
                w.approve_value("gil", proposal);
                w.approve_value("gil/2", proposal);
                w.approve_value("hal", proposal);
                proposal
            },
            &[Unfit::Proposer, Unfit::Proposer],
        ),
        (
            "an approval said twice",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                let approval = w.approve_value("hal", proposal);
                w.repeat(approval);
                proposal
            },
            &[],
        ),
        (
            "an approval moved to another value",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                w.approve_value("hal", proposal);
                let mut moved = w.good_value_approval(proposal);
                moved.value = dig("y");
                w.say("ida", "guardian", Claim::ValueApproval(moved));
                proposal
            },
            &[Unfit::OtherChange],
        ),
        (
            "an approval moved to another predecessor",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                w.approve_value("hal", proposal);
                let mut moved = w.good_value_approval(proposal);
                moved.replaces = Some(proposal);
                w.say("ida", "guardian", Claim::ValueApproval(moved));
                proposal
            },
            &[Unfit::OtherChange],
        ),
        (
            "an approval of one proposal sent to another of the same value",
            |w| {
                let first = w.propose_value("tom", "treasurer", "x", None);
                let mut moved = w.good_value_approval(first);
                let second = w.propose_value("una", "other-guardian", "x", None);
                moved.proposal = second;
                w.approve_value("hal", second);
                w.say("ida", "guardian", Claim::ValueApproval(moved));
                second
            },
            &[Unfit::OtherText],
        ),
        (
            "an approval in another environment",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                w.approve_value("hal", proposal);
                let approval = w.good_value_approval(proposal);
                let elsewhere = Some("staging".parse().unwrap());
                w.say_with("ida", "guardian", Claim::ValueApproval(approval), |h| h.environment = elsewhere);
                proposal
            },
            &[Unfit::OtherChange],
        ),
        (
            "somebody who guards other values, and a guardian in that role",
            |w| {
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                w.approve_value("hal", proposal);
                let approval = w.good_value_approval(proposal);
                w.say("una", "other-guardian", Claim::ValueApproval(approval.clone()));
                w.say("ida", "other-guardian", Claim::ValueApproval(approval));
                proposal
            },
            &[Unfit::NoGuardian, Unfit::NoGuardian],
        ),
        (
            "an approval before the proposal",
            |w| {
                let next = w.size() + 1;
                let mut early = w.clone();
                early.tick();
                early.propose_value("tom", "treasurer", "x", None);
                let approval = early.good_value_approval(next);
                w.say("ida", "guardian", Claim::ValueApproval(approval));
                let proposal = w.propose_value("tom", "treasurer", "x", None);
                assert_eq!(proposal, next);
                w.approve_value("hal", proposal);
                proposal
            },
            &[Unfit::OtherChange],
        ),
    ];
    for (what, attempt, wanted) in rows {
        let mut world = world();
        let proposal = attempt(&mut world);
        world.wait(60);
        world.wait(10 * COOL_OFF_S);
        assert_eq!(world.payout_in_force(), None, "{what}");
        assert_eq!(unfit(&world, proposal), wanted, "{what}");
        assert!(!state(&world, proposal).words().is_empty());
    }
}

#[test]
fn groups_are_met_by_different_persons() {
    let mut charter = guarded();
    charter.values[0].guardians = quorum(&[("guardian", 1), ("other-guardian", 1)]);
    let mut world = World::founded(charter);
    let proposal = world.propose_value("tom", "treasurer", "x", None);
    let approval = world.good_value_approval(proposal);
    // ida holds both roles and speaks in both.
    world.say("ida", "other-guardian", Claim::ValueApproval(approval.clone()));
    world.approve_value("ida", proposal);
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(state(&world, proposal), State::Open);
    world.approve_value("hal", proposal);
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(state(&world, proposal), State::InForce);
}

#[test]
fn one_guardian_cancels_until_the_last_second_and_nobody_else_does() {
    let mut world = world();
    let proposal = world.propose_value("tom", "treasurer", "x", None);
    world.approve_value("hal", proposal);
    world.approve_value("ida", proposal);
    world.wait(60);
    world.cancel("una", "other-guardian", proposal);
    world.wait(COOL_OFF_S - 1);
    let mut late = world.clone();
    let by = world.cancel("gil", "guardian", proposal);
    world.wait(1);
    assert_eq!(state(&world, proposal), State::Cancelled(by));
    assert_eq!(world.payout_in_force(), None);
    // A withdrawal of the key that cancelled does not undo it: stopping is not undone.
    world.withdraw("oli", "gil", 0);
    world.wait(10 * COOL_OFF_S);
    assert_eq!(state(&world, proposal), State::Cancelled(by));
    late.wait(1);
    late.cancel("gil", "guardian", proposal);
    late.wait(60);
    assert_eq!(late.payout_in_force(), Some(proposal), "what is in force is replaced, not cancelled");
}

#[test]
fn a_value_replaces_only_what_is_in_force() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let rival = world.propose_value("tom", "treasurer", "rival", None);
    assert_eq!(state(&world, rival), State::Stale, "it says that there is nothing yet");
    let one = world.propose_value("tom", "treasurer", "one", Some(first));
    let other = world.propose_value("gil", "guardian", "other", Some(first));
    for who in ["hal", "ida"] {
        world.approve_value(who, other);
    }
    world.wait(60);
    for who in ["hal", "ida"] {
        world.approve_value(who, one);
    }
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(
        world.payout_in_force(),
        Some(other),
        "the one whose quorum was first, whatever stands first in the log"
    );
    assert_eq!(state(&world, one), State::Stale);
    assert_eq!(state(&world, first), State::Replaced(other));
    // The way back is a proposal too.
    let back = world.propose_value("tom", "treasurer", "first", Some(first));
    for who in ["hal", "ida"] {
        world.approve_value(who, back);
    }
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(world.payout_in_force(), Some(other));
    assert_eq!(state(&world, back), State::Stale);
}

#[test]
fn a_withdrawn_key_takes_its_word_with_it() {
    for (whose, stays) in [("hal", false), ("tom", false), ("gil", true)] {
        let mut world = world();
        let proposal = world.value_in_force("first", None);
        world.withdraw("oli", whose, 0);
        world.wait(60);
        assert_eq!(world.payout_in_force(), stays.then_some(proposal), "{whose}");
    }
}

/// Whoever withdraws keys must not choose where money goes: by the first value, by one that waited, or by one that lost.
#[test]
fn a_withdrawal_brings_no_other_value_into_force() {
    for whose in ["gil", "tom"] {
        let mut world = world();
        let first = world.value_in_force("first", None);
        let (second, rival) = (
            world.propose_value("tom", "treasurer", "second", Some(first)),
            world.propose_value("una", "other-guardian", "rival", Some(first)),
        );
        let early = world.propose_value("una", "other-guardian", "early", None);
        for who in ["gil", "ida"] {
            world.approve_value(who, second);
        }
        world.wait(60);
        for (who, proposal) in [("hal", rival), ("ida", rival), ("hal", early), ("ida", early)] {
            world.approve_value(who, proposal);
        }
        world.wait(60);
        world.wait(COOL_OFF_S);
        assert_eq!(world.payout_in_force(), Some(second));
        let by = world.withdraw("oli", whose, second);
        for _ in 0..3 {
            assert_eq!(world.payout_in_force(), None, "{whose}");
            assert_eq!(state(&world, second), State::Fell(by));
            assert_eq!(state(&world, first), State::Replaced(second));
            assert_eq!((state(&world, rival), state(&world, early)), (State::Stale, State::Stale));
            let told = value_alarms(&world.facts());
            assert!(
                told.iter().any(|a| (a.what, a.about.statement) == (AlarmKind::ValueRefused, Some(by))),
                "{told:?}"
            );
            world.wait(2 * DAY);
        }
        // Nothing that waited from before comes either, also if its quorum is complete only now.
        let again = world.propose_value("una", "other-guardian", "again", None);
        world.approve_value("hal", again);
        world.approve_value("ida", again);
        world.wait(60);
        world.wait(COOL_OFF_S);
        assert_eq!(world.payout_in_force(), Some(again), "what is proposed after it does");
        assert!(!value_alarms(&world.facts()).iter().any(|a| a.about.statement == Some(by)));
    }
}

#[test]
fn a_proposal_from_before_a_withdrawal_stays_out_if_it_is_approved_after_it() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let waiting = [None, Some(first)].map(|replaces| world.propose_value("una", "other-guardian", "waits", replaces));
    world.withdraw("oli", "hal", first);
    for proposal in waiting {
        world.approve_value("gil", proposal);
        world.approve_value("ida", proposal);
    }
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(world.payout_in_force(), None);
    assert_eq!(waiting.map(|proposal| state(&world, proposal)), [State::Stale; 2]);
}

#[test]
fn a_withdrawal_before_the_time_has_come_counts_at_once_and_one_of_what_was_replaced_does_not() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let second = world.propose_value("una", "other-guardian", "second", Some(first));
    for who in ["gil", "hal"] {
        world.approve_value(who, second);
    }
    world.wait(60);
    let mut early = world.clone();
    early.withdraw("oli", "gil", second);
    early.wait(COOL_OFF_S);
    assert_eq!((early.payout_in_force(), state(&early, second)), (Some(first), State::Open));
    world.wait(COOL_OFF_S);
    // The first value's proposer and one of its guardians: it was replaced, by a quorum of its own.
    world.withdraw("oli", "tom", 0);
    world.withdraw("oli", "ida", 0);
    assert_eq!(world.payout_in_force(), Some(second));
}

/// A charter in which release managers amend, and an amendment that takes hal's role away, in force at once.
fn without_hal(world: &mut World) {
    let mut changed = world.charter.clone();
    changed.members.iter_mut().find(|m| m.id.as_str() == "hal").unwrap().roles.clear();
    let edits = ledger::charter::diff(&world.charter, &changed).unwrap();
    let (from, becomes) = (world.charter.digest(), changed.digest());
    let claim = Amendment { from, becomes, edits };
    let amendment = world.say("ada", "release-manager", Claim::Amendment(Box::new(claim)));
    for who in ["ben", "cid"] {
        let consent = Consent { amendment, becomes, shown: dig("what was shown") };
        world.say(who, "release-manager", Claim::Consent(consent));
    }
}

#[test]
fn a_role_must_hold_until_the_value_is_in_force_and_not_after() {
    let mut charter = guarded();
    let manager = charter.roles.iter_mut().find(|r| r.name.as_str() == "release-manager").unwrap();
    manager.says.extend([Kind::Amendment, Kind::Consent]);
    let world = World::founded(charter);
    for (before, stays) in [(true, false), (false, true)] {
        let mut world = world.clone();
        let proposal = world.propose_value("tom", "treasurer", "x", None);
        world.approve_value("hal", proposal);
        world.approve_value("ida", proposal);
        world.wait(60);
        if before {
            without_hal(&mut world);
        }
        world.wait(COOL_OFF_S);
        if !before {
            assert_eq!(world.payout_in_force(), Some(proposal));
            without_hal(&mut world);
        }
        world.wait(60);
        assert!(world.facts().members().charter().member(&"hal".parse().unwrap()).unwrap().roles.is_empty());
        assert_eq!(world.payout_in_force(), stays.then_some(proposal), "{before}");
    }
}

#[test]
fn what_has_run_out_does_not_come_into_force() {
    let mut world = world();
    let (name, value, replaces, reason) = (payout(), dig("x"), None, None);
    let claim = ValueProposal { name, value, replaces, reason };
    let soon = at(world.now + COOL_OFF_S);
    let proposal = world.say_with("tom", "treasurer", Claim::ValueProposal(claim), |h| h.expires = soon);
    world.approve_value("hal", proposal);
    world.approve_value("ida", proposal);
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!((state(&world, proposal), world.payout_in_force()), (State::Expired, None));

    // An approval that runs out is made good by another one, and the time begins anew.
    let proposal = world.propose_value("tom", "treasurer", "y", None);
    let approval = world.good_value_approval(proposal);
    let soon = at(world.now + COOL_OFF_S);
    world.say_with("hal", "guardian", Claim::ValueApproval(approval), |h| h.expires = soon);
    world.approve_value("ida", proposal);
    world.wait(60);
    world.wait(COOL_OFF_S);
    assert_eq!(state(&world, proposal), State::Expired);
    world.approve_value("gil", proposal);
    assert_eq!(state(&world, proposal), State::CoolingOff);
    world.wait(60);
    world.wait(COOL_OFF_S - 1);
    assert_eq!(world.payout_in_force(), None);
    world.wait(1);
    assert_eq!(world.payout_in_force(), Some(proposal));
    // Once in force it stays, whatever runs out.
    for _ in 0..301 {
        world.wait(DAY);
    }
    assert!(world.now > EPOCH + 300 * DAY);
    assert_eq!(world.payout_in_force(), Some(proposal));
}

#[test]
fn without_a_cool_off_it_is_in_force_with_the_last_approval() {
    let mut charter = guarded();
    charter.values[0].cool_off_s = 0;
    let mut world = World::founded(charter);
    let proposal = world.propose_value("tom", "treasurer", "x", None);
    world.approve_value("hal", proposal);
    let last = world.approve_value("ida", proposal);
    let now = world.ask_payout(|view| view.in_force).unwrap();
    assert_eq!((now.proposal, now.since), (proposal, last));
}

fn rules(facts: &Facts, proposal: u64) -> Vec<(String, String)> {
    match decide(facts, proposal).unwrap().verdict.ruling {
        Ruling::Granted { .. } => Vec::new(),
        Ruling::Refused { reasons } => reasons.into_iter().map(|r| (r.rule, r.found)).collect(),
    }
}

#[test]
fn a_release_is_given_exactly_what_is_in_force() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let second = world.value_in_force("second", Some(first));
    let rows: [(&[(u64, Digest)], &str); 6] = [
        (&[(second, dig("second"))], ""),
        (&[], "payout: it is not given, and "),
        (&[(first, dig("first"))], &format!("payout: {first} is given, and {second} is in force")),
        (&[(second, dig("first"))], &format!("payout: {second} is given, and {second} is in force")),
        (&[(second, dig("second")), (first, dig("first"))], "payout: it is given twice"),
        (&[(second, dig("second")), (second, dig("second"))], "payout: it is given twice"),
    ];
    for (given, wanted) in rows {
        let mut world = world.clone();
        let put = world.put_reading(1, None, given);
        let found = rules(&world.facts(), put.proposal);
        if wanted.is_empty() {
            assert_eq!(found, []);
            let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
            assert!(verdict.rests_on.contains(&second), "it rests on the value's proposal");
        } else {
            assert_eq!(found.len(), 1, "{found:?}");
            assert_eq!(found[0].0, "guarded-values-are-in-force");
            assert!(found[0].1.contains(wanted), "{found:?}");
        }
    }
    // What nothing reads is not given.
    let change = world.good_change(1, None);
    let value = ledger::statement::v1::GuardedValue { name: payout(), proposal: second, value: dig("second") };
    let put = world.put_with(change, None, |_| {}, |_| {}, |claim| claim.values = vec![value]);
    world.approve_both(&put);
    assert!(rules(&world.facts(), put.proposal)[0].1.contains("payout: nothing reads it"));
}

#[test]
fn a_verdict_ends_with_the_value_that_it_rests_on() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let put = world.put_reading(1, None, &[(first, dig("first"))]);
    assert_eq!(rules(&world.facts(), put.proposal), []);
    world.value_in_force("second", Some(first));
    let found = rules(&world.facts(), put.proposal);
    assert_eq!(found.iter().map(|(rule, _)| rule.as_str()).collect::<Vec<_>>(), ["guarded-values-are-in-force"]);
}

/// A charter whose policy forgot the rule does not let an old account through.
#[test]
fn no_policy_gives_it_away() {
    let mut charter = guarded();
    charter.policy = "@id(\"all\") permit (principal, action, resource);".to_owned();
    let mut world = World::founded(charter);
    let first = world.value_in_force("first", None);
    world.value_in_force("second", Some(first));
    let put = world.put_reading(1, None, &[(first, dig("first"))]);
    assert_eq!(rules(&world.facts(), put.proposal)[0].0, "guarded-values-are-in-force");
}

/// A log's time that runs ahead would bring a value into force early.
#[test]
fn a_time_ahead_of_this_clock_permits_no_step() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let put = world.put_reading(1, None, &[(first, dig("first"))]);
    let policy = Policy::parse(&world.charter.policy).unwrap();
    let ask = |now: u64| -> Result<Current, CurrentError> {
        current(&policy, &world.facts(), &world.fresh(), put.proposal, at(now))
    };
    assert!(ask(world.now).is_ok());
    assert!(matches!(ask(world.now - 301), Err(CurrentError::Ahead(_))));
}

#[test]
fn every_attempt_raises_an_alarm() {
    let told = |world: &World| -> Vec<(AlarmKind, Option<u64>)> {
        let alarms = value_alarms(&world.facts());
        alarms.into_iter().map(|a| (a.what, a.about.statement)).collect()
    };
    let mut world = world();
    assert_eq!(told(&world), []);
    let proposal = world.propose_value("gil", "guardian", "x", None);
    assert_eq!(told(&world), [(AlarmKind::ValueProposed, Some(proposal))]);
    let refused = world.approve_value("gil", proposal);
    let both = [(AlarmKind::ValueProposed, Some(proposal)), (AlarmKind::ValueRefused, Some(refused))];
    assert_eq!(told(&world), both);
    world.approve_value("hal", proposal);
    let last = world.approve_value("ida", proposal);
    world.wait(60);
    assert!(told(&world).contains(&(AlarmKind::ValueProposed, Some(last))), "the cool-off begins");
    world.wait(COOL_OFF_S);
    let over = [(AlarmKind::ValueInForce, Some(proposal)), (AlarmKind::ValueRefused, Some(refused))];
    assert_eq!(told(&world), over, "and ends");
    world.wait(60);
    world.wait(2 * DAY);
    assert_eq!(told(&world), []);
    let stale = world.propose_value("tom", "treasurer", "y", None);
    let elsewhere = ValueProposal { name: "limit".parse().unwrap(), value: dig("z"), replaces: None, reason: None };
    let strange = world.say("tom", "treasurer", Claim::ValueProposal(elsewhere));
    let refused = [(AlarmKind::ValueRefused, Some(stale)), (AlarmKind::ValueRefused, Some(strange))];
    assert_eq!(told(&world), refused);
    let lost = world.say(
        "hal",
        "guardian",
        Claim::ValueApproval(ledger::statement::v1::ValueApproval { proposal: 1, ..world.good_value_approval(stale) }),
    );
    assert!(told(&world).contains(&(AlarmKind::ValueRefused, Some(lost))));
    let cancelled = world.propose_value("tom", "treasurer", "w", Some(proposal));
    world.cancel("gil", "guardian", cancelled);
    assert!(!told(&world).contains(&(AlarmKind::ValueProposed, Some(cancelled))), "it is over");
    let alarm = &value_alarms(&world.facts())[0];
    assert_eq!((alarm.about.value.as_ref(), alarm.environment.as_ref()), (Some(&payout()), Some(&production())));
}

#[test]
fn what_is_shown_names_the_change_and_no_value() {
    let mut world = world();
    let first = world.value_in_force("first", None);
    let proposal = world.propose_value("tom", "treasurer", "second", Some(first));
    let text = value_shown(&world.facts(), proposal).unwrap();
    for words in [
        format!("value proposal {proposal}: payout of bank in production\n"),
        "proposed by tom\n".to_owned(),
        format!("becomes {}\n", dig("second")),
        format!("replaces {} of proposal {first}\n", dig("first")),
        "it takes 2 of guardian, and then 3600 s\n".to_owned(),
    ] {
        assert!(text.contains(&words), "{words}\n{text}");
    }
    world.value_in_force("third", Some(first));
    assert_eq!(value_shown(&world.facts(), proposal).unwrap(), text, "it stays the same");
}
