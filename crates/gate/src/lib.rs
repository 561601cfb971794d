//! The gate room: facts from the log, quorums, duties, policies, and `decide`.
//!
//! Everything here is a pure function of the statements that it is given. It refuses to know clocks, networks,
//! files and bodies: an auditor runs it years later and gets the same answer.

pub mod alarms;
mod amendment;
mod builders;
pub mod bundle;
pub mod comparison;
mod current;
mod decide;
mod dossier;
pub mod duties;
mod emergency;
mod facts;
mod lineage;
pub mod policy;
mod promotion;
mod recount;
mod shown;
mod standing;
mod start;
mod time;
pub mod values;
mod votes;
#[cfg(test)]
mod world;

pub use amendment::{Differences, amendment_shown, amendment_shown_digest, amendment_state, charters_of};
pub use builders::Builders;
pub use current::{Current, CurrentError, Return, ReturnError, current, may_return};
pub use decide::{DECIDE_VERSION, DecideError, Decision, decide, decide_with, only_waits};
pub use dossier::{CHANGE_COMMITS, Dossier};
pub use emergency::{Emergency, emergencies};
pub use facts::{Facts, FactsError, Heading, Live, Said, Stack, Stop, StopError, Trouble};
pub use ledger::quorum::{Tally, tally};
pub use promotion::{Promotion, PromotionState, soaks};
pub use recount::{Contradiction, Recount};
pub use shown::{shown, shown_digest};
pub use standing::{EXCEPTION_PERSONS, SuiteStanding, WHOLE_SUITE, edits};
pub use start::{Footing, Read, StartError, Starts, Wanted};
pub use time::{CoolOff, LogTime};
