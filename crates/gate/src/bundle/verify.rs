//! Checking a bundle: everything in it is believed only as far as it is computed again.

use std::collections::BTreeSet;

use ledger::{
    Verified,
    charter::StructureError,
    checkpoint::SignedCheckpoint,
    dsse::Envelope,
    excerpt::{Excerpt, Proven},
    follow::{FollowError, WitnessPolicy},
    reader::{LogError, Reader},
    statement::{
        Members, Statement,
        v1::{Claim, Ruling, Verdict},
    },
};
use model::{Digest, PersonId, Timestamp};

use super::{
    form::{Bundle, BundleError, Form},
    report::{Approver, Now, Report},
};
use crate::{
    decide::{DECIDE_VERSION, DecideError, decide_with},
    dossier::Dossier,
    duties::{self, CharterError},
    facts::{Facts, FactsError},
    policy::Policy,
};

/// Why a bundle does not prove its verdict.
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// Not a bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// The first entry is no charter at all.
    #[error("the first entry is not a charter")]
    NoCharter,
    /// It is another one.
    #[error("the bundle is of the charter {found}, and it was to be checked against {wanted}")]
    OtherCharter {
        /// The hash that was asked for.
        wanted: Digest,
        /// The hash of the one that is there.
        found: Digest,
    },
    /// The charter does not hold up.
    #[error("the charter does not hold up")]
    Charter(#[from] CharterError),
    /// The checkpoint or an entry does not hold up.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The entries of a whole bundle are not those of the checkpoint.
    #[error("the checkpoint covers {covered} entries, and the bundle has {given}")]
    Size {
        /// Entries under the checkpoint.
        covered: u64,
        /// Entries in the file.
        given: u64,
    },
    /// They are as many, and others.
    #[error("the entries do not make the tree of the checkpoint: one was changed, or it is another log's checkpoint")]
    Root,
    /// The place of the verdict is another statement's.
    #[error("there is no verdict at log index {0}")]
    NoVerdict(u64),
    /// It names more statements than came before it.
    #[error("the verdict at {index} says that it was decided over {size} statements, more than there were")]
    Future {
        /// Where the verdict stands.
        index: u64,
        /// Over how many it says.
        size: u64,
    },
    /// By another version of `decide`.
    #[error("the verdict is by version `{0}` of decide, and this program has version `{DECIDE_VERSION}`")]
    Version(String),
    /// Statements that do not follow each other. A defect of this version.
    #[error("the statements can not be read in order")]
    Facts(#[from] FactsError),
    /// `decide` has no answer.
    #[error("the verdict at {index} does not follow from the statements")]
    NoAnswer {
        /// Where the verdict stands.
        index: u64,
        /// Why there is none.
        #[source]
        source: DecideError,
    },
    /// It has another.
    #[error("the verdict at {index} does not follow: it says {said}, and the statements say {found}")]
    DoesNotFollow {
        /// Where the verdict stands.
        index: u64,
        /// What it says.
        said: String,
        /// What the statements say.
        found: String,
    },
    /// Its signer's key was withdrawn.
    #[error("the key that signed the verdict was withdrawn at {withdrawn}, and what it signed at {index} is void")]
    Withdrawn {
        /// Where the verdict stands.
        index: u64,
        /// Where the withdrawal stands.
        withdrawn: u64,
    },
    /// Somebody counts who contributed. A defect of `decide`, which counts nobody who did.
    #[error("`{0}` contributed to the change and counts as an approver")]
    Contributor(PersonId),
    /// A body of no entry in the file.
    #[error("no entry in the bundle commits to the body of {0}")]
    Body(Digest),
}

/// Checks a bundle against the hash of a charter, and says what it proves. A refused verdict that holds up is `Ok` too:
/// [`Report::is_granted`] tells.
///
/// # Errors
/// The first thing that does not hold up; then nothing in the file is to be believed.
pub fn verify(bytes: &[u8], charter: Digest) -> Result<Report, VerifyError> {
    let bundle = Bundle::parse(bytes)?;
    let members = charter_of(&bundle, charter)?;
    let (seen, statements) = open(&bundle, members.clone())?;
    let (said, verdict) = verdict_of(&statements, bundle.verdict)?;

    let mut facts = Facts::new(members);
    let split = statements.partition_point(|s| s.index() < verdict.size);
    let (before, after) = statements.split_at_checked(split).unwrap_or((&statements, &[]));
    fold(&mut facts, before, verdict.size)?;
    // Those of the charter that the verdict was made under.
    let members = facts.members().clone();
    let duties = duties::check(members.charter())?;
    let policy = Policy::parse(&members.charter().policy).map_err(CharterError::from)?;
    let index = bundle.verdict;
    let decision =
        decide_with(&policy, &facts, verdict.proposal).map_err(|source| VerifyError::NoAnswer { index, source })?;
    if decision.verdict != *verdict {
        let (said, found) = difference(verdict, &decision.verdict);
        return Err(VerifyError::DoesNotFollow { index, said, found });
    }
    let (approvers, contributors) = people(&facts, verdict)?;
    check_bodies(&bundle, &statements)?;

    // Whoever holds the gate's key could sign, over the statements before a rejection, what was true then.
    let split = after.partition_point(|s| s.index() < index);
    let (meanwhile, after) = after.split_at_checked(split).unwrap_or((after, &[]));
    fold(&mut facts, meanwhile, index)?;
    let later = facts.policy_after(&policy);
    let overtaken = match decide_with(later.as_ref().unwrap_or(&policy), &facts, verdict.proposal) {
        Ok(decision) if decision.is_granted() => None,
        Ok(decision) => Some(Now::of(&decision.verdict)),
        Err(_) => Some(Now::NoAnswer),
    };
    let overtaken = overtaken.filter(|_| matches!(verdict.ruling, Ruling::Granted { .. }));
    fold(&mut facts, after, seen.checkpoint.size())?;
    if let Some(withdrawn) = facts.withdrawal(said.key()).filter(|_| facts.is_void(said.key(), index)) {
        return Err(VerifyError::Withdrawn { index, withdrawn });
    }
    let now = match bundle.form {
        Form::Whole => {
            let later = facts.policy_after(&policy);
            let policy = later.as_ref().unwrap_or(&policy);
            decide_with(policy, &facts, verdict.proposal).map_or(Now::NoAnswer, |d| Now::of(&d.verdict))
        }
        Form::Selected => Now::Unknown(last_said(&statements, index, verdict.proposal)),
    };
    let times = seen.policy.times(&seen.checkpoint).map_err(LogError::from)?;
    let times = times.into_iter().map(|(operator, time)| (operator.to_owned(), time)).collect();
    let quorum_time = seen.policy.quorum_time(&seen.checkpoint).map_err(LogError::from)?;
    let time = quorum_time.or_else(|| facts.time().map(|t| t.latest));
    Ok(Report {
        form: bundle.form,
        notice: bundle.notice(),
        entries: bundle.entries.len(),
        bodies: bundle.bodies.len(),
        charter,
        demo: members.charter().demo,
        any_program: members.charter().roles_of_any_program().into_iter().cloned().collect(),
        duties,
        origin: seen.checkpoint.checkpoint().origin.clone(),
        size: seen.checkpoint.size(),
        time,
        witnesses: times,
        witness_quorum: facts.members().charter().witness_quorum,
        index,
        gate: said.by().map(|by| by.to_string()).unwrap_or_default(),
        verdict: verdict.clone(),
        approvers,
        contributors,
        overtaken,
        now,
    })
}

/// The charter, which the first entry carries, if it is the one that was asked for.
fn charter_of(bundle: &Bundle, wanted: Digest) -> Result<Members, VerifyError> {
    if bundle.charter != wanted {
        return Err(VerifyError::OtherCharter { wanted, found: bundle.charter });
    }
    let first = bundle.entries.first().filter(|e| e.index == 0).ok_or(VerifyError::NoCharter)?;
    let envelope = Envelope::from_entry(&first.bytes).map_err(|source| LogError::Envelope { index: 0, source })?;
    let hash = Digest::of(envelope.payload());
    let Ok(Statement { claim: Claim::Charter(charter), .. }) = Statement::from_bytes(envelope.payload()) else {
        return Err(VerifyError::NoCharter);
    };
    if hash != wanted {
        return Err(VerifyError::OtherCharter { wanted, found: hash });
    }
    Ok(Members::of(*charter, hash).map_err(StructureError::from).map_err(CharterError::from)?)
}

/// The checkpoint of a bundle, and the witnesses who were asked for.
struct Seen {
    checkpoint: SignedCheckpoint,
    policy: WitnessPolicy,
}

/// The statements, each in the tree of the checkpoint and by somebody who may say it; and the checkpoint, which enough
/// witnesses of the charter after them cosigned.
fn open(bundle: &Bundle, members: Members) -> Result<(Seen, Vec<Verified<Statement>>), VerifyError> {
    match bundle.form {
        Form::Whole => {
            let mut reader = Reader::new(members)?;
            let (covered, given) =
                (reader.target(bundle.note.as_bytes(), Timestamp::default())?, bundle.entries.len() as u64);
            if covered != given {
                return Err(VerifyError::Size { covered, given });
            }
            let entries: Vec<&[u8]> = bundle.entries.iter().map(|e| e.bytes.as_slice()).collect();
            let said = reader.advance(&entries, bundle.note.as_bytes(), Timestamp::default());
            let said = said.map_err(|error| match error {
                LogError::Follow(FollowError::Forked { .. }) => VerifyError::Root,
                other => other.into(),
            })?;
            let checkpoint = reader.checkpoint().cloned().ok_or(VerifyError::Root)?;
            Ok((Seen { checkpoint, policy: reader.follower().policy().clone() }, said))
        }
        Form::Selected => {
            let entries = bundle.entries.iter().map(|e| Proven { index: e.index, entry: &e.bytes, proof: &e.proof });
            let (excerpt, said) = Excerpt::open(members, bundle.note.as_bytes(), entries)?;
            Ok((Seen { checkpoint: excerpt.checkpoint().clone(), policy: excerpt.policy().clone() }, said))
        }
    }
}

fn verdict_of(statements: &[Verified<Statement>], index: u64) -> Result<(&Verified<Statement>, &Verdict), VerifyError> {
    let at = statements.binary_search_by_key(&index, Verified::index).map_err(|_| VerifyError::NoVerdict(index))?;
    let said = statements.get(at).ok_or(VerifyError::NoVerdict(index))?;
    let Claim::Verdict(verdict) = &said.value().claim else { return Err(VerifyError::NoVerdict(index)) };
    if verdict.size > index {
        return Err(VerifyError::Future { index, size: verdict.size });
    }
    if verdict.decide != DECIDE_VERSION {
        return Err(VerifyError::Version(verdict.decide.clone()));
    }
    Ok((said, verdict))
}

/// Folds statements, passing over those that are not there, until the facts are those of `size` statements.
pub(crate) fn fold(facts: &mut Facts, statements: &[Verified<Statement>], size: u64) -> Result<(), FactsError> {
    for statement in statements {
        facts.skip_to(statement.index());
        facts.apply(statement)?;
    }
    facts.skip_to(size);
    Ok(())
}

/// Every body is one that an entry of the file commits to.
fn check_bodies(bundle: &Bundle, statements: &[Verified<Statement>]) -> Result<(), VerifyError> {
    if bundle.bodies.is_empty() {
        return Ok(());
    }
    let mut named = BTreeSet::new();
    for statement in statements {
        let payload = statement.value().to_bytes().map_err(FactsError::from)?;
        // A digest is written in one way, so a commitment stands in the payload as these words or not at all.
        let text = String::from_utf8_lossy(&payload);
        named.extend(text.split("\"sha256:").filter_map(|rest| Digest::from_hex(rest.get(..64)?).ok()));
    }
    let stranger = bundle.bodies.iter().find(|body| !named.contains(&body.commitment));
    stranger.map_or(Ok(()), |body| Err(VerifyError::Body(body.commitment)))
}

/// The last verdict on a proposal after the one at an index.
fn last_said(statements: &[Verified<Statement>], index: u64, proposal: u64) -> Option<(u64, String)> {
    statements.iter().rev().take_while(|s| s.index() > index).find_map(|s| match &s.value().claim {
        Claim::Verdict(v) if v.proposal == proposal => Some((s.index(), ruling(v))),
        _ => None,
    })
}

/// Who approved, and who contributed. That nobody is both follows from `decide`; it is looked at all the same.
fn people(facts: &Facts, verdict: &Verdict) -> Result<(Vec<Approver>, BTreeSet<PersonId>), VerifyError> {
    let contributors = Dossier::gather(facts, verdict.proposal).map(|dossier| dossier.contributors).unwrap_or_default();
    let rests_on: BTreeSet<u64> = verdict.rests_on.iter().copied().collect();
    let mut approvers = Vec::new();
    for said in facts.approvals(verdict.proposal).filter(|a| rests_on.contains(&a.index)) {
        for person in said.by.persons() {
            if contributors.contains(person) {
                return Err(VerifyError::Contributor(person.clone()));
            }
            let (role, key) = (said.header.role.clone(), said.key);
            approvers.push(Approver { person: person.clone(), role, key, index: said.index });
        }
    }
    Ok((approvers, contributors))
}

/// What two verdicts say, in words that differ.
fn difference(said: &Verdict, found: &Verdict) -> (String, String) {
    let (one, other) = (ruling(said), ruling(found));
    if one == other { (format!("{said:?}"), format!("{found:?}")) } else { (one, other) }
}

/// A ruling in words.
pub(super) fn ruling(verdict: &Verdict) -> String {
    match &verdict.ruling {
        Ruling::Granted { until } => format!("granted until {until}"),
        Ruling::Refused { reasons } => {
            let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
            format!("refused ({})", rules.join(", "))
        }
    }
}
