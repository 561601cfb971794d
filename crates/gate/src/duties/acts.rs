//! Acts: what people and robots can do under a charter, as operators name it.
//!
//! Each statement kind is one, and so is whatever follows from several of them. It refuses to know who can do them.

use std::fmt;

use ledger::statement::v1::{Charter, Kind};
use model::{EnvironmentName, HostName, SystemName, ValueName};

/// Something that can be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Act {
    /// Have a release rolled out into an environment.
    Release(EnvironmentName),
    /// The same in an emergency, before all evidence is there.
    Emergency(EnvironmentName),
    /// Stop an environment.
    Halt(EnvironmentName),
    /// Start it again.
    Resume(EnvironmentName),
    /// Order it back to what ran before.
    GoBack(EnvironmentName),
    /// Leave a case or a suite out for a while.
    Except,
    /// Make what a key signed void.
    WithdrawKey,
    /// Change the charter.
    Amend,
    /// Put another guarded value in force, of a system in an environment.
    SetValue(ValueName, SystemName, EnvironmentName),
    /// Make bodies unreadable for ever.
    Erase,
    /// Make a statement of a kind that takes effect by itself.
    Say(Kind),
    /// Use the log's key.
    KeepLog,
    /// Be root on a host.
    Administer(HostName),
}

/// The kinds that are one voice among several, and count in another act.
pub(super) const VOTES: [Kind; 6] =
    [Kind::Approval, Kind::Resume, Kind::Exception, Kind::Erasure, Kind::Consent, Kind::ValueApproval];

/// The kinds whose effect is an act of its own, asked of an environment or of a key.
pub(super) const ORDERS: [Kind; 3] = [Kind::Halt, Kind::Rollback, Kind::KeyWithdrawal];

/// The kinds that take effect by themselves.
pub(super) fn plain_kinds() -> impl Iterator<Item = Kind> {
    Kind::ALL.into_iter().filter(|k| *k != Kind::Charter && !VOTES.contains(k) && !ORDERS.contains(k))
}

/// How many acts there are under a charter.
pub fn count(charter: &Charter) -> usize {
    let emergencies = charter.environments.iter().filter(|e| e.emergency.is_some()).count();
    let ways = 4 * charter.environments.len() + emergencies + charter.values.len() + charter.hosts.len();
    // Except, withdraw a key, amend, erase, keep the log.
    ways + plain_kinds().count() + 5
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Release(e) => write!(f, "release into {e}"),
            Self::Emergency(e) => write!(f, "release into {e} in an emergency"),
            Self::Halt(e) => write!(f, "halt {e}"),
            Self::Resume(e) => write!(f, "go on in {e} after a halt"),
            Self::GoBack(e) => write!(f, "go back in {e} to what ran before"),
            Self::Except => f.write_str("except a case or a suite"),
            Self::WithdrawKey => f.write_str("withdraw a key"),
            Self::Amend => f.write_str("amend the charter"),
            Self::SetValue(v, system, e) => write!(f, "change the guarded value {v} of {system} in {e}"),
            Self::Erase => f.write_str("erase bodies"),
            Self::Say(kind) => f.write_str(words(*kind)),
            Self::KeepLog => f.write_str("sign the log's checkpoints"),
            Self::Administer(host) => {
                write!(f, "administer {host}: use every key on it and run anything there by hand")
            }
        }
    }
}

const fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Charter => "found a log",
        Kind::Tick => "say the time",
        Kind::Change => "say what was committed",
        Kind::Build => "make a build",
        Kind::Evidence => "make evidence",
        Kind::Proposal => "put up a release",
        Kind::Approval => "approve a release",
        Kind::Rejection => "reject a release",
        Kind::Verdict => "sign a verdict, which nobody takes on trust",
        Kind::Milestone => "say what runs",
        Kind::Analysis => "say what was counted of two versions",
        Kind::Halt => "halt",
        Kind::Resume => "resume",
        Kind::Rollback => "order back",
        Kind::Retirement => "retire a version that nobody uses",
        Kind::Report => "report trouble with a version",
        Kind::Exception => "say an exception",
        Kind::KeyWithdrawal => "withdraw a key",
        Kind::Erasure => "say that bodies be erased",
        Kind::Amendment => "put up an amendment",
        Kind::Consent => "consent to an amendment",
        Kind::Cancellation => "cancel an amendment by recovery keys, a value or a silence",
        Kind::ValueProposal => "put up another guarded value",
        Kind::ValueApproval => "approve another guarded value",
        Kind::Alarm => "raise an alarm",
        Kind::Acknowledgement => "acknowledge an alarm",
        Kind::Silence => "silence alarms",
    }
}
