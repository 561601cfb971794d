//! What somebody who wants to be believed could do to a bundle, and what it is answered.

use ledger::{
    checkpoint::Checkpoint,
    dsse::Envelope,
    keys::Signer as _,
    merkle::CompactRange,
    statement::{PAYLOAD_TYPE, Statement, v1::Ruling},
};
use model::Digest;

use ledger::statement::v1::AfterRule;

use super::*;
use crate::world::{ORIGIN, at, charter, key_of, note_of, quorum};

/// The world's tree with these entries, signed by the log and cosigned: whoever holds both keys can make it.
fn signed_over(entries: &[Entry], cosigned: &[(&str, u64)]) -> String {
    let mut range = CompactRange::new();
    entries.iter().for_each(|e| range.push_entry(&e.bytes));
    note_of(&Checkpoint::new(ORIGIN, range.size(), range.root()), cosigned)
}

/// The entry with its statement made otherwise, signed by somebody.
fn resealed(entry: &Entry, who: &str, edit: impl FnOnce(&mut Statement)) -> Vec<u8> {
    let envelope = Envelope::from_entry(&entry.bytes).unwrap();
    let mut statement = Statement::from_bytes(envelope.payload()).unwrap();
    edit(&mut statement);
    Envelope::seal(PAYLOAD_TYPE, statement.to_bytes().unwrap(), &key_of(who)).unwrap().canonical_bytes()
}

/// The entry's payload made otherwise under the signature that it had.
fn tampered(entry: &Entry) -> Vec<u8> {
    let envelope = Envelope::from_entry(&entry.bytes).unwrap();
    let mut statement = Statement::from_bytes(envelope.payload()).unwrap();
    statement.header.expires = statement.header.expires.plus_s(1);
    let payload = statement.to_bytes().unwrap();
    let signature = envelope.signature().to_vec();
    Envelope::from_parts(PAYLOAD_TYPE, payload, envelope.signer(), signature).unwrap().canonical_bytes()
}

fn answer(world: &World, bundle: &Bundle) -> String {
    match check(world, bundle) {
        Ok(report) => format!("{}: {}", if report.is_granted() { "granted" } else { "refused" }, report.form.name()),
        Err(error) => chain(&error),
    }
}

#[test]
fn what_is_done_to_a_whole_bundle() {
    let (world, put, index) = judged();
    let good = whole(&world, index);
    assert_eq!(answer(&world, &good), "granted: whole");
    let now = [("alpha", world.now)];
    let approval = good.entries.iter().rposition(|e| e.index < index && is_approval(e)).unwrap();
    // Signed again by whoever holds the keys of log and witness: the tree alone must not be what convinces.
    let resign = |bundle: &mut Bundle| bundle.note = signed_over(&bundle.entries, &now);
    type Do<'a> = Box<dyn Fn(&mut Bundle) + 'a>;
    let rows: Vec<(String, Do<'_>)> = vec![
        (
            "the entries do not make the tree of the checkpoint: one was changed, or it is another log's checkpoint".into(),
            Box::new(|b| b.entries[approval].bytes = resealed(&b.entries[approval], "cid", |_| {})),
        ),
        (
            format!(
                "entry {approval} is not a statement of this log: the signature by {} does not fit the statement: ",
                key_of("ben").key().id()
            ),
            Box::new(|b| {
                b.entries[approval].bytes = tampered(&b.entries[approval]);
                resign(b);
            }),
        ),
        (
            format!("entry {approval} is not a statement of this log: dora does not hold the role `release-manager`"),
            Box::new(|b| {
                b.entries[approval].bytes = resealed(&b.entries[approval], "dora", |_| {});
                resign(b);
            }),
        ),
        (
            // The gate's own tick names the tree that it saw.
            format!("entry {} was signed by somebody who had seen other entries before", index - 1),
            Box::new(|b| {
                // Ada again, in the place of Ben.
                b.entries[approval].bytes = resealed(&b.entries[approval], "ada/2", |_| {});
                resign(b);
            }),
        ),
        (
            format!("entry {} was signed by somebody who had seen other entries before", put.proposal + 1),
            Box::new(|b| {
                // Ben approved; here he wrote a commit too.
                b.entries[usize::try_from(put.change).unwrap()].bytes =
                    resealed(&b.entries[usize::try_from(put.change).unwrap()], "builder", |s| {
                        let Claim::Change(change) = &mut s.claim else { panic!() };
                        change.commits[0].contributors.push("ben".parse().unwrap());
                    });
                resign(b);
            }),
        ),
        (
            format!("the checkpoint covers {} entries, and the bundle has {}", world.size(), world.size() - 1),
            Box::new(|b| drop(b.entries.pop())),
        ),
        (format!("entry {approval} is missing; a whole bundle has every entry"), Box::new(|b| drop(b.entries.remove(approval)))),
        (
            "entry 3 stands after entry 3; entries stand in the order of the log, each once".into(),
            Box::new(|b| b.entries.insert(3, b.entries[3].clone())),
        ),
        ("entry 4 is missing; a whole bundle has every entry".into(), Box::new(|b| b.entries.swap(4, 5))),
        (
            "the checkpoint is not acceptable: the checkpoint is of the log `other.example/log`, not of `log.example/bank`".into(),
            Box::new(|b| {
                let other = Checkpoint::new("other.example/log", world.size(), dig("root"));
                b.note = note_of(&other, &now);
            }),
        ),
        ("0 of 1 witness operators have cosigned the checkpoint".into(), Box::new(|b| b.note = signed_over(&b.entries, &[]))),
        (
            "0 of 1 witness operators have cosigned the checkpoint".into(),
            Box::new(|b| b.note = signed_over(&b.entries, &[("beta", world.now)])),
        ),
        (format!("there is no verdict at log index {approval}"), Box::new(|b| b.verdict = approval as u64)),
        ("there is no verdict at log index 9999".into(), Box::new(|b| b.verdict = 9_999)),
        (
            format!("the verdict at {index} does not follow: it says granted until "),
            Box::new(|b| {
                let last = b.entries.len() - 1;
                b.entries[last].bytes = resealed(&b.entries[last], "gate", |s| {
                    let Claim::Verdict(v) = &mut s.claim else { panic!() };
                    v.ruling = Ruling::Granted { until: at(u64::from(u32::MAX)) };
                });
                resign(b);
            }),
        ),
        (
            "the verdict is by version `9` of decide, and this program has version `1`".into(),
            Box::new(|b| {
                let last = b.entries.len() - 1;
                b.entries[last].bytes = resealed(&b.entries[last], "gate", |s| {
                    let Claim::Verdict(v) = &mut s.claim else { panic!() };
                    v.decide = "9".to_owned();
                });
                resign(b);
            }),
        ),
        (
            format!("no entry in the bundle commits to the body of {}", Digest::of(&[7; 40])),
            Box::new(|b| b.bodies = vec![Body::of(vec![7; 40])]),
        ),
        (
            format!("the bundle is of the charter {}, and it was to be checked against {}", dig("x"), world.hash()),
            Box::new(|b| b.charter = dig("x")),
        ),
    ];
    let mut differ: Vec<String> = Vec::new();
    for (wanted, change) in rows {
        let mut bundle = good.clone();
        change(&mut bundle);
        let found = answer(&world, &bundle);
        if !found.starts_with(&wanted) {
            differ.push(format!("wanted {wanted}\n found {found}"));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
    let other = verify(good.to_text().as_bytes(), dig("another")).unwrap_err();
    assert!(chain(&other).starts_with(&format!("the bundle is of the charter {}", world.hash())));
}

fn is_approval(entry: &Entry) -> bool {
    let envelope = Envelope::from_entry(&entry.bytes).unwrap();
    matches!(Statement::from_bytes(envelope.payload()).unwrap().claim, Claim::Approval(_))
}

#[test]
fn what_is_done_to_a_selected_bundle() {
    let (world, _, index) = judged();
    let good = selected(&world, index);
    assert_eq!(answer(&world, &good), "granted: selected");
    let approval = good.entries.iter().rposition(is_approval).unwrap();
    let place = good.entries[approval].index;
    let first = good.entries[0].clone();
    type Do<'a> = Box<dyn Fn(&mut Bundle) + 'a>;
    let rows: Vec<(String, Do<'_>)> = vec![
        (
            format!("the verdict at {index} does not follow: it says granted until "),
            Box::new(|b| drop(b.entries.remove(approval))),
        ),
        (
            format!("entry {place} is not in the tree of the checkpoint: the proof leads to another root"),
            Box::new(|b| b.entries[approval].bytes = resealed(&b.entries[approval], "cid", |_| {})),
        ),
        (
            format!("entry {place} is not in the tree of the checkpoint: the proof leads to another root"),
            Box::new(|b| b.entries[approval].proof[0] = dig("another")),
        ),
        (
            format!("entry {place} is not in the tree of the checkpoint: the proof has 0 hashes"),
            Box::new(|b| b.entries[approval].proof.clear()),
        ),
        (
            format!("entry {} is not in the tree of the checkpoint: the proof", place + 1),
            Box::new(|b| {
                b.entries.retain(|e| e.index != place + 1);
                b.entries[approval].index += 1;
            }),
        ),
        ("the first entry is not a charter".into(), Box::new(|b| drop(b.entries.remove(0)))),
        (format!("there is no verdict at log index {index}"), Box::new(|b| b.entries.retain(|e| e.index != index))),
        ("entry 0 stands after entry ".into(), Box::new(|b| b.entries.push(first.clone()))),
    ];
    for (wanted, change) in rows {
        let mut bundle = good.clone();
        change(&mut bundle);
        let found = answer(&world, &bundle);
        assert!(found.starts_with(&wanted), "wanted {wanted}\n found {found}");
    }
}

/// What ran in the environment before is in the bundle, and the verdict does not follow without it.
#[test]
fn a_bundle_shows_that_it_ran_in_the_environment_before() {
    let mut charter = crate::world::charter();
    let staging: model::EnvironmentName = "staging".parse().unwrap();
    charter.environments[1].after = Some(AfterRule { environment: staging.clone(), soak_s: 3_600 });
    let mut world = World::founded(charter);
    let change = world.good_change(1, None);
    let staged = world.put_with(change, None, |_| {}, |_| {}, |p| p.environment = staging);
    world.approve_both(&staged);
    let live = world.milestone(&staged, MilestoneKind::Live);
    world.wait(60);
    world.wait(3_600);
    let mut claim = staged.claim.clone();
    claim.environment = crate::world::production();
    let put = Put { proposal: world.propose(claim.clone()), claim, ..staged };
    world.approve_both(&put);
    let index = say_verdict(&mut world, &put);
    for bundle in [whole(&world, index), selected(&world, index)] {
        assert_eq!(answer(&world, &bundle), format!("granted: {}", bundle.form.name()));
    }
    let mut without = selected(&world, index);
    without.entries.retain(|entry| entry.index != live);
    assert!(answer(&world, &without).starts_with(&format!("the verdict at {index} does not follow")));
}

#[test]
fn a_bundle_shows_what_a_release_that_is_brought_back_was_judged_over() {
    let (mut world, put) = World::brought_back(|_, _| {});
    world.approve_both(&put);
    let index = say_verdict(&mut world, &put);
    for bundle in [whole(&world, index), selected(&world, index)] {
        assert_eq!(answer(&world, &bundle), format!("granted: {}", bundle.form.name()));
    }
    // Without how it came the first time, it is judged over what ran last, and removes a suite of it.
    let facts = world.facts();
    let came = facts.milestones(&crate::world::system(), &crate::world::production()).next().map(|said| said.index);
    let mut without = selected(&world, index);
    without.entries.retain(|entry| Some(entry.index) != came);
    assert!(answer(&world, &without).starts_with(&format!("the verdict at {index} does not follow")));
}

#[test]
fn a_verdict_by_a_withdrawn_key_proves_nothing() {
    let (mut world, _, index) = judged();
    let withdrawn = world.withdraw("oli", "gate", index);
    for bundle in [whole(&world, index), selected(&world, index)] {
        assert_eq!(
            answer(&world, &bundle),
            format!(
                "the key that signed the verdict was withdrawn at {withdrawn}, and what it signed at {index} is void"
            )
        );
    }
}

#[test]
fn a_refusal_that_holds_up_is_a_refusal() {
    let mut world = World::founded(charter());
    let put = world.put(1, None);
    world.approve("ada", &put);
    // Dora wrote the commit: a contributor's approval makes no quorum.
    world.wait(60);
    let index = say_verdict(&mut world, &put);
    assert_eq!(answer(&world, &whole(&world, index)), "refused: whole");
    assert_eq!(answer(&world, &selected(&world, index)), "refused: selected");
    // Whoever holds the gate's key says yes all the same.
    let mut verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    verdict.ruling = Ruling::Granted { until: at(world.now + 60) };
    let index = world.say("gate", "gate", Claim::Verdict(Box::new(verdict)));
    let found = answer(&world, &whole(&world, index));
    assert!(found.ends_with("and the statements say refused (quorum-has-approved)"), "{found}");
}

#[test]
fn a_yes_over_what_stood_before_a_halt_is_overtaken() {
    let (mut world, put, _) = judged();
    let verdict = decide(&world.facts(), put.proposal).unwrap().verdict;
    world.halt("oli");
    // True over the statements that it names, and not over those that stood before it in the log.
    let index = world.say("gate", "gate", Claim::Verdict(Box::new(verdict)));
    world.wait(60);
    let found = check(&world, &whole(&world, index)).unwrap();
    assert_eq!(found.overtaken, Some(Now::Refused(vec!["not-halted".to_owned()])));
    assert!(!found.is_granted());
    assert!(found.to_string().contains("OVERTAKEN"), "{found}");
}

#[test]
fn a_charter_that_lets_one_person_do_it_proves_nothing() {
    let mut charter = charter();
    charter.environments[1].quorum = quorum(&[("release-manager", 1)]);
    let mut world = World::founded(charter);
    let put = world.put(1, None);
    world.approve("ada", &put);
    world.wait(60);
    let index = say_verdict(&mut world, &put);
    let found = answer(&world, &whole(&world, index));
    assert!(found.starts_with("the charter does not hold up: the quorum of the environment `production`"), "{found}");
}

#[test]
fn what_came_later_is_told_as_far_as_it_is_known() {
    let (mut world, put, index) = judged();
    world.milestone(&put, MilestoneKind::Live);
    world.wait(60);
    let granted = check(&world, &whole(&world, index)).unwrap();
    assert!(matches!(granted.now, Now::Granted(_)), "{:?}", granted.now);
    world.halt("oli");
    world.wait(60);
    let whole = check(&world, &whole(&world, index)).unwrap();
    assert_eq!(whole.now, Now::Refused(vec!["not-halted".to_owned()]));
    assert!(whole.is_granted(), "what was granted then was granted");
    assert_eq!(check(&world, &selected(&world, index)).unwrap().now, Now::Unknown(None));
    let later = say_verdict(&mut world, &put);
    let selected = check(&world, &selected(&world, index)).unwrap();
    assert_eq!(selected.now, Now::Unknown(Some((later, "refused (not-halted)".to_owned()))));
}
