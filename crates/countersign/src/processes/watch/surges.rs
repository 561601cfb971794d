//! Whether the edge refuses what matters most: an alarm for each component whose first class of requests is shed.
//!
//! A thread asks the edge, so that one that hangs keeps nobody waiting. It refuses to know why more is asked than is taken.
//! Nothing is written: after a crash the edge is asked again.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use gate::alarms::Condition;
use hyper::Method;
use ledger::statement::v1::{AlarmAbout, AlarmKind};
use model::route::{EdgeCounts, SurgeCounts};

use super::{board::Observed, neighbours::Placement};
use crate::{
    fault::{Because as _, Fault, Kind},
    http::Target,
    identity::RoleUser,
    layout::Layout,
};

/// How often the edge is asked: people are told within five seconds.
const ASK_INTERVAL: Duration = Duration::from_secs(1);
/// It answers from memory.
const ASK_TIMEOUT: Duration = Duration::from_secs(2);
/// An answer that is older tells nothing of now.
const ANSWER_LIFE: Duration = Duration::from_secs(5);

type Answer = Arc<Mutex<Option<(Instant, Vec<SurgeCounts>)>>>;

/// What the edge said last of what it refuses.
pub(super) struct Surges {
    answer: Answer,
}

impl Surges {
    /// Begins to ask.
    pub(super) fn start(layout: &Layout) -> Result<Self, Fault> {
        let answer = Answer::default();
        let (edge, told) = (Target::Unix(layout.socket(RoleUser::Edge)), Arc::clone(&answer));
        std::thread::Builder::new()
            .name("surges".to_owned())
            .spawn(move || ask_for_ever(&edge, &told))
            .because(Kind::Unavailable, "no thread to ask the edge from")?;
        Ok(Self { answer })
    }

    /// Calls for alarms of what is refused.
    pub(super) fn look(&self, placements: &[Placement], observed: &mut Observed) {
        let answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match answer.filter(|(at, _)| at.elapsed() < ANSWER_LIFE) {
            Some((_, surges)) => judge(&surges, placements, observed),
            None => observed.unsure(AlarmKind::ImportantShed),
        }
    }
}

/// What the edge's counts call for: only classes that have others below them matter more than something.
fn judge(surges: &[SurgeCounts], placements: &[Placement], observed: &mut Observed) {
    for surge in surges.iter().filter(|surge| surge.classes.len() > 1) {
        let Some(first) = surge.classes.first().filter(|class| class.shed_lately > 0) else { continue };
        let about = AlarmAbout { component: Some(surge.component.clone()), ..AlarmAbout::default() };
        let condition = Condition::of(AlarmKind::ImportantShed, about);
        let runs = |placement: &&Placement| placement.instances.iter().any(|i| i.component == surge.component);
        let condition = match placements.iter().find(runs) {
            Some(placement) => condition.within(&placement.system, &placement.environment),
            None => condition,
        };
        let words = format!(
            "{} refuses requests of its first class, {}: {} in the last 10 s; it is given {} at once",
            surge.component, first.class, first.shed_lately, surge.limit
        );
        observed.call(condition, words);
    }
}

fn ask_for_ever(edge: &Target, answer: &Answer) {
    loop {
        let asked = edge.ask_blocking(Method::GET, "/counts", Vec::new(), ASK_TIMEOUT).ok();
        let counts = asked.filter(|a| a.status.is_success());
        if let Some(counts) = counts.and_then(|a| serde_json::from_slice::<EdgeCounts>(&a.body).ok()) {
            *answer.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), counts.surges));
        }
        std::thread::sleep(ASK_INTERVAL);
    }
}

#[cfg(test)]
mod tests;
