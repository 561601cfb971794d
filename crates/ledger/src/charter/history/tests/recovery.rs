//! Recovery: keys that together amend the charter when its members can not, slowly and in sight.

use super::*;

/// Recovery gives eve and a new person of hers the charter back.
pub(super) fn recover(c: &mut Charter) {
    c.members[0].keys = vec![public("new")];
    c.members[1].keys = vec![public("new/2")];
}

#[test]
fn recovery_takes_two_keys_a_delay_and_nobody_against_it() {
    let mut log = Told::new();
    let at = log.propose("r1", recover).unwrap();
    assert_eq!(
        log.consent("r1", at).unwrap_err(),
        "a recovery key proposed it: whoever proposes an amendment does not count"
    );
    let yes = log.yes(at);
    log.force("r1", RECOVERY_ROLE, yes.clone());
    assert_eq!(log.state(at), &State::Open, "one key twice");
    assert!(log.consent("ada", at).unwrap_err().contains("takes consents by recovery keys alone"));
    for who in ["ada", "ben", "cem"] {
        log.force(who, "manager", yes.clone());
    }
    assert_eq!(log.state(at), &State::Open, "members' words do not make up for keys");
    log.consent("r3", at).unwrap();
    assert!(matches!(log.state(at), State::Waiting { .. }));
    log.wait(30 * DAY);
    log.wait(7 * DAY - 1);
    assert!(matches!(log.state(at), State::Waiting { .. }), "one second early");
    log.wait(1);
    assert!(log.is_in_force(at));
    // The keys that it brought count at once: its own delay came before.
    let next = log.propose("dora", |c| c.key_delay_s = 0).unwrap();
    log.consent("new", next).unwrap();
    log.consent("new/2", next).unwrap();
    assert!(log.is_in_force(next));
}

#[test]
fn one_member_cancels_recovery_as_long_as_it_waits() {
    let waiting = || {
        let mut log = Told::new();
        let at = log.propose("r1", recover).unwrap();
        log.consent("r2", at).unwrap();
        log.tick();
        (log, at)
    };
    let cancel = |of| Claim::Cancellation(Cancellation { of, reason: None });
    // One second before it is over, by somebody who holds no role that may say anything of it.
    let (mut log, at) = waiting();
    log.wait(7 * DAY - 1);
    let cancelled = log.try_say("dora", MEMBER_ROLE, cancel(at)).unwrap();
    log.wait(8 * DAY);
    assert_eq!(log.state(at), &State::Cancelled { at: cancelled });
    assert!(log.consent("r3", at).unwrap_err().contains("does not wait"));
    // One second after.
    let (mut log, at) = waiting();
    log.wait(7 * DAY);
    assert!(log.is_in_force(at));
    assert!(log.try_say("dora", MEMBER_ROLE, cancel(at)).unwrap_err().contains("does not wait"));
    log.force("dora", MEMBER_ROLE, cancel(at));
    assert!(log.is_in_force(at));
    // By a robot, by a recovery key, by a key that was withdrawn before.
    let (mut log, at) = waiting();
    assert!(log.try_say("gate", "gate", cancel(at)).is_err());
    assert!(log.try_say("r3", RECOVERY_ROLE, cancel(at)).is_err());
    log.withdraw("dora", 0);
    for (who, role) in [("gate", "gate"), ("r3", RECOVERY_ROLE), ("dora", MEMBER_ROLE)] {
        log.force(who, role, cancel(at));
    }
    assert!(matches!(log.state(at), State::Waiting { .. }));
    // And an amendment of the members is not anybody's alone to stop.
    let ordinary = log.propose("ada", hire_eve).unwrap();
    assert!(log.try_say("ben", MEMBER_ROLE, cancel(ordinary)).unwrap_err().contains("was put up by a member"));
    log.force("ben", MEMBER_ROLE, cancel(ordinary));
    assert_eq!(log.state(ordinary), &State::Open);
}

#[test]
fn an_amendment_of_the_members_overtakes_recovery() {
    let mut log = Told::new();
    let recovery = log.propose("r1", recover).unwrap();
    log.consent("r2", recovery).unwrap();
    log.tick();
    let at = log.propose("dora", |c| c.key_delay_s = 5).unwrap();
    log.consent("ada", at).unwrap();
    let done = log.consent("ben", at).unwrap();
    assert_eq!(log.state(recovery), &State::Overtaken { at: done });
    log.wait(30 * DAY);
    log.wait(30 * DAY);
    assert!(!log.is_in_force(recovery));
    // A withdrawal of recovery keys does not stop it: cancelling does, and that is said openly.
    let again = log.propose("r1", recover).unwrap();
    log.withdraw("r1", 0);
    log.consent("r2", again).unwrap();
    assert!(matches!(log.state(again), State::Waiting { .. }));
}
