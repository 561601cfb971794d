//! What the log asks its witnesses: to cosign what it has, and before anything else whether they know more.
//!
//! Of several processes on one store only the one that orders the log asks: a witness takes one checkpoint after the
//! other, and two who asked would only tell each other to ask again. The others read the cosignatures from the store. It
//! writes cosignatures; a crash loses some, and they are asked for again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::PoisonError,
    time::Duration,
};

use ledger::{
    log::SetBack,
    statement::v1::{Charter, WitnessKey},
    store::Turn,
};
use model::Clock as _;

use super::Shared;
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    http::Target,
    status::StatusFile,
};

/// A witness that has not answered by then is asked again in the next round.
const WITNESS_TIMEOUT: Duration = Duration::from_secs(5);
/// Before a turn somebody waits for the log to answer, and a witness that is there cosigns within milliseconds. All are
/// asked at once, so that a turn that was lost is taken over within five seconds.
const FIRST_ASK_TIMEOUT: Duration = Duration::from_secs(1);
/// Between rounds while a witness does not answer.
const WITNESS_PAUSE: Duration = Duration::from_millis(500);
/// How long nothing new is waited for before one looks all the same.
const PATIENCE: Duration = Duration::from_secs(1);

/// Asks before each later turn of this process, for as long as it lives.
pub(super) fn begin_turns(shared: &Shared) {
    let mut news = 0;
    loop {
        news = shared.log.wait_news(news, PATIENCE);
        begin_turn(shared);
    }
}

/// If this process has a turn in which it orders nothing yet: asks every witness whether it knows more than the store
/// holds, which may have been restored from a backup while nobody looked, and lets the turn begin. Of a log that was set
/// back nothing is ordered then. A witness that can not be reached can not say so.
pub(super) fn begin_turn(shared: &Shared) {
    let Some(turn) = shared.log.unbegun_turn() else { return };
    if shared.log.head().size() > 0 && shared.only_read.is_none() {
        let members = shared.members();
        let witnesses = &members.charter().witnesses;
        let answers: Vec<Answer> = std::thread::scope(|scope| {
            let asked: Vec<_> = witnesses
                .iter()
                .map(|witness| scope.spawn(move || ask_witness(shared, witness, 0, FIRST_ASK_TIMEOUT)))
                .collect();
            asked.into_iter().filter_map(|asked| asked.join().ok()).collect()
        });
        let mut round = Round::default();
        answers.iter().for_each(|answer| round.hear(answer));
        round.conclude(shared);
    }
    shared.log.begin(turn);
}

/// What one witness said.
struct Answer {
    operator: String,
    /// The size that it cosigned.
    cosigned: Result<u64, Fault>,
    set_back: Option<SetBack>,
}

/// Keeps the head cosigned: at once when it grew, and again before what there is becomes too old to act on.
pub(super) fn ask_witnesses(shared: &Shared, status: &mut StatusFile, ports: &BTreeSet<u16>) {
    // How much each witness has seen, by its key: an amendment may bring others.
    let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
    let mut last = (0, model::Timestamp::default());
    let mut said = None;
    let mut asked_in = None;
    let mut news = 0;
    loop {
        news = shared.log.wait_news(news, PATIENCE);
        let (head, turn) = (shared.log.head(), shared.log.turn());
        let mut troubles = Vec::new();
        if let Err(error) = shared.in_force.follow(&shared.log) {
            troubles.push(format!("the charter in force is not known: {error}"));
        }
        let members = shared.members();
        let charter = members.charter();
        let max_age_s = charter.environments.iter().map(|e| e.max_age_s).min().unwrap_or(60);
        let again_s = (max_age_s / 3).max(1);
        let now = SystemClock.now();
        // A new turn may begin on a store that was restored meanwhile.
        let new_turn = asked_in.as_ref() != Some(&turn);
        let asks = turn.is_ours() && shared.log.unbegun_turn().is_none() && shared.only_read.is_none();
        let due = asks && (new_turn || head.size() != last.0 || now.since_s(last.1) >= again_s);
        if due {
            asked_in = Some(turn.clone());
            let mut round = Round::default();
            for witness in &charter.witnesses {
                let old = sizes.entry(witness.vkey.clone()).or_default();
                let answer = ask_witness(shared, witness, *old, WITNESS_TIMEOUT);
                round.hear(&answer);
                match answer.cosigned {
                    Ok(size) => *old = size,
                    Err(fault) => troubles.push(format!("witness {}: {}", witness.name, fault.message())),
                }
            }
            round.conclude(shared);
        }
        match shared.log.cosigned(|c| shared.is_cosigned(c)) {
            Ok(Some(checkpoint)) => {
                if checkpoint.size() >= head.size() && (due || !turn.is_ours()) {
                    last = (checkpoint.size(), now);
                }
                shared.set_cosigned(checkpoint);
            }
            Ok(None) if charter.witness_quorum == 0 => {
                last = (head.size(), now);
                shared.set_cosigned((*head).clone());
            }
            Ok(None) => {}
            Err(error) => troubles.push(format!("the cosignatures can not be read: {error}")),
        }
        let mut waits = vec![format!("statements after {}", head.size())];
        if let Some(reason) = shared.log.set_back() {
            waits = vec!["somebody who restores the newer copy of the log".to_owned()];
            troubles.insert(0, format!("nothing is taken in, because the log was set back: {reason}"));
        }
        if let Some(reason) = &shared.only_read {
            waits = vec!["a disk that can be written".to_owned()];
            troubles.insert(0, reason.to_string());
        }
        waits.extend(out_of_reach(charter, ports));
        troubles.extend(shared.not_erased.lock().unwrap_or_else(PoisonError::into_inner).clone());
        let words = match turn {
            Turn::Only => format!("{} statements, {} cosigned", head.size(), last.0),
            shared => format!("{} statements, {} cosigned; {shared}", head.size(), last.0),
        };
        let word = (words, waits);
        if due || !troubles.is_empty() || said.as_ref() != Some(&word) {
            status.say(word.0.clone(), word.1.clone());
            said = Some(word);
        }
        if !troubles.is_empty() {
            status.trouble(troubles.join("; "));
            std::thread::sleep(WITNESS_PAUSE);
        }
    }
}

/// The port of a witness that is reached over TCP.
pub(super) fn port_of(url: &str) -> Option<u16> {
    match Target::parse_prefix(url).ok()?.0 {
        Target::Tcp(address) => Some(address.port()),
        Target::Unix(_) => None,
    }
}

/// Witnesses of the charter in force that this process may not reach, and what to do.
fn out_of_reach(charter: &Charter, ports: &BTreeSet<u16>) -> Vec<String> {
    let port = |url: &str| port_of(url).filter(|port| !ports.contains(port));
    let far = charter.witnesses.iter().filter_map(|witness| Some((&witness.name, port(&witness.url)?)));
    far.map(|(name, port)| {
        format!(
            "a restart: add {port} to `witness_ports` in settings.json, so that the log may reach the witness {name}"
        )
    })
    .collect()
}

/// What the witnesses said in one round of asking.
///
/// A 409 or 422 is signed by nobody, so one witness, or whoever sits on its line, must not be able to end the log. It
/// takes nothing in any more when so many operators say that it was set back that the others are no quorum.
#[derive(Default)]
struct Round {
    set_back: BTreeMap<String, SetBack>,
    cosigned: BTreeSet<String>,
}

impl Round {
    fn hear(&mut self, answer: &Answer) {
        match (&answer.cosigned, &answer.set_back) {
            (Ok(_), _) => {
                self.cosigned.insert(answer.operator.clone());
            }
            (Err(_), Some(reason)) => {
                self.set_back.insert(answer.operator.clone(), reason.clone());
            }
            (Err(_), None) => {}
        }
    }

    fn conclude(&self, shared: &Shared) {
        if let Some(reason) = self.reason_to_stop(shared.members().charter()) {
            shared.log.stop_taking_in(reason.clone());
        }
    }

    fn reason_to_stop(&self, charter: &Charter) -> Option<&SetBack> {
        let operators: BTreeSet<&str> = charter.witnesses.iter().map(|w| w.operator.as_str()).collect();
        // One witness of an operator that cosigns is that operator's voice.
        let mut against = self.set_back.iter().filter(|(operator, _)| !self.cosigned.contains(*operator));
        let left = operators.len().saturating_sub(against.clone().count());
        let needed = usize::try_from(charter.witness_quorum).unwrap_or(usize::MAX).max(1);
        against.next().filter(|_| left < needed).map(|(_, reason)| reason)
    }
}

fn ask_witness(shared: &Shared, witness: &WitnessKey, old: u64, timeout: Duration) -> Answer {
    let mut answer = Answer {
        operator: witness.operator.clone(),
        cosigned: Err(Fault::new(Kind::Unavailable, "it was not asked")),
        set_back: None,
    };
    answer.cosigned = ask(shared, witness, old, timeout, &mut answer.set_back);
    answer
}

fn ask(
    shared: &Shared,
    witness: &WitnessKey,
    old: u64,
    timeout: Duration,
    set_back: &mut Option<SetBack>,
) -> Result<u64, Fault> {
    let (target, prefix) = Target::parse_prefix(&witness.url)?;
    let path = format!("{prefix}/add-checkpoint");
    let key = witness.vkey.parse().because(Kind::Input, "its key does not parse")?;
    let send = |body: &[u8]| {
        target
            .ask_blocking(hyper::Method::POST, &path, body.to_vec(), timeout)
            .map(|a| ledger::witness::Reply { status: a.status.as_u16(), body: a.body.to_vec() })
            .map_err(|fault| std::io::Error::other(fault.message()))
    };
    let outcome = ledger::witness::cosign(&shared.log, &key, old, send);
    if let Err(error) = &outcome {
        *set_back = error.set_back();
    }
    let (size, _) = outcome.because(Kind::Unavailable, "it did not cosign")?;
    Ok(size)
}

#[cfg(test)]
mod tests;
