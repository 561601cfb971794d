//! Words for statements, the same in every verb: what one says on one line, and times and names as people read them.
//!
//! It reads leaves only and judges nothing.

use gate::Facts;
use ledger::{
    Verified,
    statement::{
        Statement,
        v1::{Claim, Evidence, EvidenceOn, EvidenceOutcome, MilestoneKind, Ruling, SuiteKind, Verdict},
    },
};
use model::{Digest, Timestamp};
use serde::Serialize;

/// One statement as a row of a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Row {
    /// Its log index.
    pub index: u64,
    /// Its kind.
    pub kind: String,
    /// Who signed it.
    pub by: String,
    /// In which role.
    pub role: String,
    /// The first log time that covers it; none before the next tick.
    pub time: Option<Timestamp>,
    /// What it says, in a few words.
    pub says: String,
    /// Whether its signer's key was withdrawn for it.
    pub void: bool,
}

/// The row of a statement.
pub fn row(facts: &Facts, entry: &Verified<Statement>) -> Row {
    let header = &entry.value().header;
    let by = facts.members().holder(entry.key()).map_or_else(|_| entry.key().short(), ToString::to_string);
    Row {
        index: entry.index(),
        kind: entry.value().claim.kind().to_string(),
        by,
        role: header.role.to_string(),
        time: facts.covered(entry.index()).map(|t| t.earliest),
        says: says(&entry.value().claim),
        void: facts.is_void(entry.key(), entry.index()),
    }
}

impl std::fmt::Display for Row {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let time = self.time.map_or_else(|| "-".to_owned(), |t| t.to_string());
        let void = if self.void { " (void: its key was withdrawn)" } else { "" };
        write!(
            f,
            "{:>6}  {time:<20}  {:<14} {:<16} {:<15} {}{void}",
            self.index, self.kind, self.by, self.role, self.says
        )
    }
}

/// What a claim says, in a few words.
pub fn says(claim: &Claim) -> String {
    match claim {
        Claim::Charter(c) => {
            let demo = if c.demo { ", marked demo" } else { "" };
            format!("{} people, {} robots{demo}", c.members.len(), c.robots.len())
        }
        Claim::Tick(t) => format!("time {}", t.at),
        Claim::Change(c) => {
            let commits = plural(c.commits.len(), "commit");
            let problems: Vec<String> = c
                .problems
                .iter()
                .map(wire_name)
                .chain(
                    c.commits.iter().filter_map(|f| Some(format!("{} {}", f.commit.short(), wire_name(&f.problem?)))),
                )
                .collect();
            let accepted = if problems.is_empty() {
                "accepted".to_owned()
            } else {
                format!("NOT accepted: {}", problems.join(", "))
            };
            format!("{}-{:06} {} on {}, {commits}, {accepted}", c.system, c.ordinal, c.commit.short(), c.branch)
        }
        Claim::Build(c) => format!(
            "{} release {}, {}, {} locked dependencies",
            c.serial,
            c.release.short(),
            plural(c.images.len(), "image"),
            c.dependencies
        ),
        Claim::Evidence(c) => evidence(c),
        Claim::Proposal(c) => {
            let replaces =
                c.replaces.map_or_else(|| "replaces nothing".to_owned(), |r| format!("replaces {}", r.short()));
            let emergency = if c.emergency { ", EMERGENCY" } else { "" };
            format!("{} into {}, release {}, {replaces}{emergency}", c.serial, c.environment, c.release.short())
        }
        Claim::Approval(c) => format!("of proposal {} into {}", c.proposal, c.environment),
        Claim::Rejection(c) => format!("of proposal {}", c.proposal),
        Claim::Verdict(c) => verdict(c),
        Claim::Milestone(c) => {
            let component = c.component.as_ref().map(|n| format!(" ({n})")).unwrap_or_default();
            let counts =
                if c.requests > 0 { format!(", {} requests, {} failed", c.requests, c.errors) } else { String::new() };
            format!("{} in {}: {}{component}{counts}", c.serial, c.environment, milestone(c.what))
        }
        Claim::Analysis(c) => {
            let requests = c.ticks.iter().fold((0_u64, 0_u64), |(new, old), tick| {
                (new.saturating_add(tick.requests), old.saturating_add(tick.other_requests))
            });
            let last = c.ticks.last().map_or(0, |tick| tick.share);
            format!(
                "{} in {}: {} over {} ticks at {last} %, {} requests beside {}",
                c.serial,
                c.environment,
                wire_name(&c.answer).replace('-', " "),
                c.ticks.len(),
                requests.0,
                requests.1
            )
        }
        Claim::Halt(c) => {
            c.environment.as_ref().map_or_else(|| "every environment".to_owned(), |e| format!("environment {e}"))
        }
        Claim::Resume(c) => format!("of halt {}", c.halt),
        Claim::Retirement(c) => format!("{}: {}", c.environment, c.serial),
        Claim::Report(c) => format!("{}: trouble with {} ({})", c.environment, c.serial, wire_name(&c.arm)),
        Claim::Rollback(c) => format!("{}: from {} to {}", c.environment, c.from.short(), c.to.short()),
        Claim::Exception(c) => {
            format!("suite {}, case {}, owner {}, until {}", c.suite, c.case.short(), c.owner, c.ends)
        }
        Claim::KeyWithdrawal(c) => format!("key {}, void from {}", c.key.short(), c.void_from),
        Claim::Amendment(c) => {
            format!("{}, from charter {} to {}", plural(c.edits.len(), "edit"), c.from.short(), c.becomes.short())
        }
        Claim::Consent(c) => format!("to amendment {}", c.amendment),
        Claim::Cancellation(c) => format!("of {}", c.of),
        Claim::ValueProposal(c) => match c.replaces {
            Some(index) => format!("{}, replaces that of {index}", c.name),
            None => format!("{}, the first", c.name),
        },
        Claim::ValueApproval(c) => format!("of {} by proposal {}", c.name, c.proposal),
        Claim::Alarm(c) => format!("{} {}", wire_name(&c.what), if c.firing { "begins" } else { "is over" }),
        Claim::Acknowledgement(c) => format!("of alarm {}", c.alarm),
        Claim::Silence(c) => {
            format!("{} until {}", c.what.iter().map(wire_name).collect::<Vec<_>>().join(", "), c.ends)
        }
        Claim::Erasure(c) => format!("of subject {}", c.subject.digest().short()),
    }
}

/// Evidence in a few words.
pub fn evidence(e: &Evidence) -> String {
    let t = e.totals;
    let reasons = if e.reasons.is_empty() || e.outcome == EvidenceOutcome::Passed {
        String::new()
    } else {
        format!(" ({})", e.reasons.iter().map(wire_name).collect::<Vec<_>>().join(", "))
    };
    format!(
        "suite {} ({}, on {}) {}{reasons}: {} passed, {} failed, {} skipped, {} flaky",
        e.suite,
        kind(e.kind),
        on(&e.on),
        outcome(e.outcome),
        t.passed,
        t.failed,
        t.skipped,
        t.flaky
    )
}

/// What a suite ran on.
pub const fn on(on: &EvidenceOn) -> &'static str {
    match on {
        EvidenceOn::Source { .. } => "the source tree",
        EvidenceOn::Containers { .. } => "containers",
    }
}

/// The kind of a suite.
pub const fn kind(kind: SuiteKind) -> &'static str {
    match kind {
        SuiteKind::Smoke => "smoke",
        SuiteKind::Full => "full",
        SuiteKind::Load => "load",
        SuiteKind::Ui => "ui",
    }
}

/// The outcome of a suite.
pub const fn outcome(outcome: EvidenceOutcome) -> &'static str {
    match outcome {
        EvidenceOutcome::Passed => "passed",
        EvidenceOutcome::Failed => "FAILED",
        EvidenceOutcome::NotTested => "NOT TESTED",
    }
}

/// A verdict in a few words.
pub fn verdict(v: &Verdict) -> String {
    let unwitnessed = if v.unwitnessed { ", unwitnessed" } else { "" };
    match &v.ruling {
        Ruling::Granted { until } => {
            format!("proposal {} granted until {until}, over {} statements{unwitnessed}", v.proposal, v.size)
        }
        Ruling::Refused { reasons } => {
            let rules: Vec<&str> = reasons.iter().map(|r| r.rule.as_str()).collect();
            format!("proposal {} refused ({}), over {} statements{unwitnessed}", v.proposal, rules.join(", "), v.size)
        }
    }
}

/// What happened, in words.
pub fn milestone(what: MilestoneKind) -> String {
    match what {
        MilestoneKind::WentBackUnhealthy => "went back: an instance was not well".to_owned(),
        MilestoneKind::WentBackErrors => "went back: too many requests failed".to_owned(),
        MilestoneKind::WentBackFailed => "went back: a step could not be done".to_owned(),
        MilestoneKind::WentBackWithdrawn => "went back: its verdict was withdrawn, or a person said so".to_owned(),
        MilestoneKind::WentBackWorse => "went back: it was worse than the version before".to_owned(),
        MilestoneKind::WentBackUndecided => "went back: nothing could be shown in time".to_owned(),
        MilestoneKind::Reported => "held: people report trouble with it".to_owned(),
        other => wire_name(&other).replace('-', " "),
    }
}

/// The wire name of a value that is written as one word.
pub fn wire_name<T: Serialize>(value: &T) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        _ => "?".to_owned(),
    }
}

/// `1 commit`, `2 commits`.
pub fn plural(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A release for people: its serial if a build made it known.
pub fn release(facts: &Facts, release: Digest) -> String {
    let serial = facts.builds().find(|b| b.claim.release == release).map(|b| b.claim.serial.to_string());
    serial.map_or_else(|| release.short(), |s| format!("{s} ({})", release.short()))
}

/// A length of time in the largest unit that fits.
pub fn duration(seconds: u64) -> String {
    match seconds {
        s @ 0..120 => format!("{s} s"),
        s @ 120..7_200 => format!("{} min", s / 60),
        s @ 7_200..172_800 => format!("{} h", s / 3_600),
        s => format!("{} days", s / 86_400),
    }
}
