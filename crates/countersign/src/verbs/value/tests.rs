//! People change an account with the verbs, on the real log: what they are shown, and who is stopped.

use std::time::{Duration, Instant};

use ledger::statement::v1::{Claim, EvidenceOutcome, ValueApproval};
use serde_json::Value as Json;

use super::*;
use crate::verbs::{
    Format, approve as approve_release, erase, propose as propose_release,
    world::{World, arguments, kept, printed},
};

const OLD: &str = "DE89370400440532013000";
/// One digit of the account is another, with the check digits that go with it.
const LIKE: &str = "DE16370400440532018000";

fn value(world: &World, who: &str, words: &[&str]) -> Result<String, Fault> {
    let mut out = Vec::new();
    run(&arguments::<Args>(words), &world.as_person(who), &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

fn json(world: &World, who: &str, words: &[&str]) -> Json {
    let common = Flags { format: Format::Json, ..world.as_person(who) };
    let mut out = Vec::new();
    run(&arguments::<Args>(words), &common, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn proposed(world: &World, who: &str, to: &str) -> u64 {
    let said = json(world, who, &["propose", "payout", "--to", to, "--reason", "the bank moved", "--yes"]);
    said["proposal"].as_u64().unwrap()
}

fn approved(world: &World, who: &str, proposal: u64) -> Json {
    json(world, who, &["approve", &proposal.to_string(), "--yes"])
}

fn in_force(world: &World, to: &str) -> u64 {
    let proposal = proposed(world, "gil", to);
    approved(world, "hal", proposal);
    approved(world, "ida", proposal);
    proposal
}

#[test]
fn an_account_is_changed_by_two_who_see_what_they_sign() {
    let world = World::guarded(0);
    let first = in_force(&world, "DE89 3704 0044 0532 0130 00");
    let text = value(&world, "ada", &["show", "payout"]).unwrap();
    assert!(text.contains("in force: DE89 3704 0044 0532 0130 00\n"), "{text}");
    let second = proposed(&world, "ida", LIKE);
    let text = value(&world, "gil", &["approve", &second.to_string(), "--yes"]).unwrap();
    for words in [
        format!("value proposal {second}: payout of paydesk in production\nproposed by ida\nbecomes sha256:"),
        format!(" of proposal {first}\nit takes 2 of guardian, and then 0 s\n"),
        format!("old  {OLD}\nnew  {LIKE}\n       ^^              ^\n"),
        "new is an IBAN (ISO 13616)\n".to_owned(),
        "check digits 16 are right\n".to_owned(),
        "LOOKS ALIKE: only 3 of 22 characters differ from the old one\n".to_owned(),
        "what is shown above has the digest sha256:".to_owned(),
        "1 of 2 guardians\n".to_owned(),
    ] {
        assert!(text.contains(&words), "{words}\n{text}");
    }
    let said = approved(&world, "hal", second);
    assert_eq!((&said["counts"], said["state"].as_str()), (&Json::Bool(true), Some("is in force")));
    assert_eq!(said["looks_alike"][0], "only 3 of 22 characters differ from the old one");
    let rows = json(&world, "ada", &["list"]);
    assert_eq!(rows["values"][0]["in_force"]["proposal"], second);
    let rows = json(&world, "ada", &["show", "payout"]);
    assert_eq!(rows["in_force"]["value"], LIKE);
    // The log has neither the account nor the reason.
    let all = String::from_utf8_lossy(&world.log().entries(0).unwrap().concat()).into_owned();
    assert!(!all.contains("37040044") && !all.contains("the bank moved"));
}

#[test]
fn what_can_not_count_is_not_signed() {
    let world = World::guarded(0);
    for (to, words) in
        [("DE89370400440532013001", "its checksum is wrong"), ("GB82WEST", "an IBAN"), ("", "can not be empty")]
    {
        let fault = value(&world, "gil", &["propose", "payout", "--to", to, "--reason", "x", "--yes"]).unwrap_err();
        assert!(fault.message().contains(words), "{}", fault.message());
    }
    let fault = value(&world, "ada", &["propose", "payout", "--to", OLD, "--reason", "x", "--yes"]).unwrap_err();
    assert_eq!(fault.kind(), Kind::Refused, "a developer: {}", fault.message());
    let fault = value(&world, "gil", &["propose", "limit", "--to", "1", "--reason", "x", "--yes"]).unwrap_err();
    assert!(fault.hint_text().unwrap().contains("it guards payout of paydesk in production"));
    let proposal = proposed(&world, "gil", OLD);
    let own = value(&world, "gil", &["approve", &proposal.to_string(), "--yes"]).unwrap_err();
    assert!(own.message().contains("gil proposed it"), "{}", own.message());
    let seen = json(&world, "gil", &["approve", &proposal.to_string(), "--yes", "--even-if-it-will-not-count"]);
    assert_eq!(seen["why_not"], "its signer proposed the value");
    let nobody = value(&world, "hal", &["approve", "1", "--yes"]).unwrap_err();
    assert!(nobody.message().contains("proposes no guarded value"), "{}", nobody.message());
}

#[test]
fn one_guardian_stops_it_and_a_cool_off_takes_its_time() {
    let world = World::guarded(1);
    let proposal = in_force(&world, OLD);
    let rows = json(&world, "ada", &["show", "payout"]);
    assert_eq!((&rows["in_force"], rows["proposals"][0]["state"].as_str()), (&Json::Null, Some("cools off")));
    let text = value(&world, "gil", &["cancel", &proposal.to_string(), "--reason", "not us"]).unwrap();
    assert!(text.contains("is cancelled; it takes a new proposal"), "{text}");
    let again = value(&world, "hal", &["cancel", &proposal.to_string()]).unwrap_err();
    assert!(again.message().contains("was cancelled in"), "{}", again.message());
    let second = in_force(&world, OLD);
    let begun = Instant::now();
    world.tick();
    loop {
        // Nothing comes: what is waited for is time.
        world.view().wait(Duration::from_millis(500)).unwrap();
        world.tick();
        if json(&world, "ada", &["show", "payout"])["in_force"]["proposal"] == second {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "the cool-off does not end");
    }
    // By the log's time, and no clock of this machine's.
    let view = world.view();
    let is_approval = |claim: &Claim| matches!(claim, Claim::ValueApproval(approval) if approval.proposal == second);
    let last = view.statements().iter().rfind(|s| is_approval(&s.value().claim)).unwrap().index();
    let since = json(&world, "ada", &["show", "payout"])["in_force"]["since"].as_u64().unwrap();
    let Claim::Tick(tick) = &view.statements()[usize::try_from(since).unwrap()].value().claim else {
        panic!("{since} is no tick")
    };
    let ended = gate::LogTime::of(tick, since, view.facts().members().charter()).unwrap();
    let began = view.facts().covered(last).unwrap();
    assert!(ended.earliest >= began.latest.plus_s(1), "{began:?} {ended:?}");
    let late = value(&world, "gil", &["cancel", &second.to_string()]).unwrap_err();
    assert!(late.message().contains("is in force"), "{}", late.message());
}

#[test]
fn a_release_is_proposed_with_what_is_in_force() {
    let world = World::guarded(0);
    let first = in_force(&world, OLD);
    let release = world.built_reading(1, None, &["payout"]);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let args = arguments::<propose_release::Args>(&["paydesk-000001"]);
    let text = printed(|out| propose_release::run(&args, &world.as_person("ada"), out));
    assert!(text.contains(&format!("guarded value payout as in force by proposal {first}")), "{text}");
    let index = world.view().facts().proposals().next_back().unwrap().index;
    for who in ["ben", "cem"] {
        let args = arguments::<approve_release::Args>(&[&index.to_string(), "--yes"]);
        let text = printed(|out| approve_release::run(&args, &world.as_person(who), out));
        assert!(text.contains(&format!("guarded value payout of proposal {first} sha256:")), "{text}");
    }
    world.tick();
    assert!(gate::decide(world.view().facts(), index).unwrap().is_granted());
    in_force(&world, LIKE);
    assert!(!gate::decide(world.view().facts(), index).unwrap().is_granted(), "an old account is not released");
}

#[test]
fn a_value_in_use_is_not_erased_and_not_with_who_proposed_it() {
    let world = World::guarded(0);
    let first = in_force(&world, OLD);
    let commitment = world.view().facts().value_proposal(first).unwrap().claim.value;
    let subject = format!("value:{commitment}");
    let erase = |who: &str, subject: &str| -> Result<(), Fault> {
        let args = arguments::<erase::Args>(&[subject, "--yes"]);
        erase::run(&args, &world.as_person(who), &mut Vec::new())
    };
    let fault = erase("ben", &subject).unwrap_err();
    assert!(fault.message().contains("is used now"), "{}", fault.message());
    for who in ["ben", "cem"] {
        erase(who, "person:gil").unwrap();
    }
    let view = world.view();
    let reason = view.facts().value_proposal(first).unwrap().claim.reason.unwrap();
    assert!(matches!(view.log().body(reason).unwrap(), KeptBody::Erased), "the reason goes with gil");
    assert_eq!(kept(view.log().body(commitment).unwrap()), OLD.as_bytes(), "the account does not");
    let second = proposed(&world, "hal", LIKE);
    for who in ["ida", "gil"] {
        approved(&world, who, second);
    }
    for who in ["ben", "cem"] {
        erase(who, &subject).unwrap();
    }
    assert!(matches!(world.view().log().body(commitment).unwrap(), KeptBody::Erased));
}

/// Nobody thinks that a change was stopped when it was not.
#[test]
fn a_no_without_an_effect_does_not_come_in() {
    let world = World::guarded(60);
    let proposal = proposed(&world, "gil", OLD);
    let no = |who: &str, role: &str, of: u64| {
        let signer = crate::verbs::file_signer(&world.path("people").join(who)).unwrap();
        let speaker = crate::say::Speaker::new(signer, world.members.hash(), role.parse().unwrap());
        let about = crate::say::About {
            system: Some("paydesk".parse().unwrap()),
            environment: Some("production".parse().unwrap()),
            ..Default::default()
        };
        let claim = Claim::Cancellation(ledger::statement::v1::Cancellation { of, reason: None });
        speaker.say(&world.log(), claim, about, &[])
    };
    for (who, role, of, words) in [
        ("ada", "member", proposal, "only those who guard the value"),
        ("gil", "member", proposal, "only those who guard the value"),
        ("gil", "guardian", 0, "the statement 0 is nothing that is cancelled"),
        ("gil", "guardian", 9_999, "the statement 9999 is nothing that is cancelled"),
    ] {
        let fault = no(who, role, of).unwrap_err();
        assert_eq!(fault.kind(), Kind::Refused, "{fault}");
        assert!(fault.message().contains(words), "{}", fault.message());
    }
    no("hal", "guardian", proposal).unwrap();
}

/// What the door refuses never comes into the log; it is told all the same.
#[test]
fn refused_attempts_are_kept_for_whoever_watches() {
    let world = World::guarded(0);
    let proposal = proposed(&world, "gil", OLD);
    let claim = world.view().facts().value_proposal(proposal).unwrap().claim.clone();
    let approval = ValueApproval { proposal, name: claim.name, value: claim.value, replaces: None, shown: claim.value };
    let attempt = |who: &str, role: &str| {
        let signer = crate::verbs::file_signer(&world.path("people").join(who)).unwrap();
        let speaker = crate::say::Speaker::new(signer, world.members.hash(), role.parse().unwrap());
        let about = crate::say::About {
            system: Some("paydesk".parse().unwrap()),
            environment: Some("production".parse().unwrap()),
            ..Default::default()
        };
        speaker.say(&world.log(), Claim::ValueApproval(approval.clone()), about, &[]).unwrap_err()
    };
    attempt("ada", "guardian");
    attempt("ada", "guardian");
    attempt("ada", "developer");
    attempt("outside", "guardian");
    let refused = world.log().refusals(0).unwrap();
    let rows: Vec<_> = refused.iter().map(|r| (r.signer.as_deref(), r.times, r.reason.as_str())).collect();
    assert_eq!(
        rows,
        [
            (Some("ada"), 2, "ada does not hold the role `guardian`"),
            (Some("ada"), 1, "the role `developer` may not make a statement of kind value-approval"),
            (None, 1, "its signature does not fit"),
        ]
    );
    assert!(refused.iter().all(|r| r.value.as_ref().is_some_and(|name| name.as_str() == "payout")));
    assert_eq!(world.log().refusals(3).unwrap().len(), 1);
    let text = value(&world, "hal", &["list"]).unwrap();
    assert!(
        text.contains("value-approval of payout by ada, 2 times: ada does not hold the role `guardian`\n"),
        "{text}"
    );
    // The file is what a log that starts again reads.
    let file = std::fs::read(world.path("log/refused-values.json")).unwrap();
    let again: Vec<crate::log_client::Refused> = serde_json::from_slice(&file).unwrap();
    assert_eq!(again.len(), 3);
}
