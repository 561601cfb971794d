//! The examination: every kind of evidence against the log, each as far as it goes, so that one lie does not hide another.
//!
//! One sweep over the log on all cores; what depends on order is done here: duplicates, verdicts, and how far the audit
//! has come, which is kept every so often, so that one that was ended goes on from there. A crash loses what was audited
//! since.

use std::{
    collections::{BTreeSet, HashMap},
    path::Path,
};

use gate::{
    Contradiction, DECIDE_VERSION, Recount,
    comparison::{Comparisons, Documents},
};
use ledger::{
    Verified,
    checkpoint::SignedCheckpoint,
    dsse::{Envelope, Identity},
    follow::{Fork, WitnessPolicy},
    note::VerifierKey,
    statement::{Members, Statement},
    store::StoreError,
    subjects::Subjects,
    sweep::{BUNDLE, Flaw, FlawKind, Part, Source, Sweep, kept::Kept},
};
use model::Clock as _;

use super::{
    evidence::{Piece, Pieces, keep_fork},
    ground::{self, Ground},
    report::{Finding, Report, count},
};
use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    progress::Count,
    verbs::show,
};

/// How often what was audited is kept: a second or less of work on two cores, against a few milliseconds to write it.
pub(super) const KEEP_EVERY: u64 = 16_384;

/// What is asked of an examination.
pub(super) struct Examination<'a> {
    pub(super) source: &'a dyn Source,
    pub(super) members: &'a Members,
    pub(super) log: &'a VerifierKey,
    pub(super) witnesses: &'a WitnessPolicy,
    /// What was kept elsewhere.
    pub(super) pieces: &'a Pieces,
    /// Another copy.
    pub(super) against: Option<&'a dyn Source>,
    /// What the last audit kept, to go on from.
    pub(super) kept: Option<Kept>,
    /// Where to keep how far this one came, and how often.
    pub(super) keep: Option<(&'a Path, u64)>,
    /// Where contradicting checkpoints go.
    pub(super) evidence: Option<&'a Path>,
    /// The release documents that are at hand.
    pub(super) documents: Documents<'a>,
    pub(super) progress: &'a Count,
}

/// Why a sweep ended early.
pub(in crate::verbs) enum Ended {
    Store(StoreError),
    Fault(Fault),
}

impl From<StoreError> for Ended {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Ended> for Fault {
    fn from(ended: Ended) -> Self {
        match ended {
            Ended::Store(error) => Self::from_error(Kind::Unavailable, error).context("the log can not be read"),
            Ended::Fault(fault) => fault,
        }
    }
}

impl Examination<'_> {
    /// Examines a log. An error is that it can not be read; what is wrong with it is in the report. With it comes what
    /// the next audit goes on from, if nothing is wrong.
    pub(super) fn run(&self) -> Result<(Report, Option<Kept>, Subjects), Fault> {
        let ground = ground::find(self.source, self.log)?;
        let mut report = Report {
            statements: ground.skeleton.size(),
            findings: ground.findings.clone(),
            remarks: remarks(self.members)?,
            ..Report::default()
        };
        if ground.head.is_none() && !ground.note.is_empty() {
            return Ok((report, None, Subjects::new()));
        }
        self.compare_pieces(&ground, &mut report)?;
        let before = self.audited_before(&ground, &mut report)?;
        report.audited_before = before;
        if let Some(other) = self.against {
            self.compare(&ground, other, &mut report)?;
        }
        self.progress.of(ground.skeleton.size());
        let mut fold = Fold::new(self, &ground, before, report)?;
        let sweep = self.sweep(&ground, before);
        sweep.run::<(), Ended>(&|_| (), |part| fold.take(part))?;
        let (mut report, recount, subjects) = fold.finish()?;
        if let Some(again) = recount {
            self.recount_late(&ground, again, &mut report)?;
        }
        report.findings.sort_by_key(|f| (f.index.is_none(), f.index));
        let kept = report.findings.is_empty().then(|| self.kept_at(&ground, ground.skeleton.size())).transpose()?;
        Ok((report, kept.flatten(), subjects))
    }

    fn sweep<'s>(&'s self, ground: &'s Ground, verified: u64) -> Sweep<'s> {
        Sweep {
            source: self.source,
            members: self.members,
            log: self.log,
            witnesses: self.witnesses,
            skeleton: &ground.skeleton,
            is_signed: ground.is_signed,
            verified,
            from: 0,
            threads: ledger::sweep::cores(),
        }
    }

    /// Verdicts that name statements long before them: the log is read once more, without verifying it again.
    fn recount_late(&self, ground: &Ground, mut again: Recount, report: &mut Report) -> Result<(), Fault> {
        let sweep = self.sweep(ground, ground.skeleton.size());
        sweep.run::<(), Ended>(&|_| (), |part| {
            part.said.into_iter().try_for_each(|said| again.take(said.entry, true)).map_err(out_of_order)
        })?;
        again.finish().map_err(out_of_order)?;
        report.verdicts = again.verdicts();
        report.findings.extend(again.take_found().iter().map(of_contradiction));
        Ok(())
    }

    /// What there is to go on from when so many are audited. `None` if the log signed nothing.
    fn kept_at(&self, ground: &Ground, size: u64) -> Result<Option<Kept>, Fault> {
        let Some(head) = &ground.head else { return Ok(None) };
        let range =
            ground.skeleton.range_at(self.source, size).because(Kind::Unavailable, "the log can not be read")?;
        let checkpoint = head.clone();
        let (charter, decide) = (self.members.hash(), DECIDE_VERSION.to_owned());
        Ok(range.map(|range| Kept { charter, decide, range, index: None, checkpoint }))
    }

    /// Compares with everything that was kept elsewhere; the first contradiction is the closest.
    fn compare_pieces(&self, ground: &Ground, report: &mut Report) -> Result<(), Fault> {
        let mut pieces: Vec<&Piece> = self.pieces.0.iter().collect();
        pieces.sort_by_key(|p| p.checkpoint.size());
        let mut agreed = 0;
        for piece in &pieces {
            if let Some(finding) = self.contradicts(ground, &piece.checkpoint, piece.edge.as_ref(), agreed)? {
                report.findings.push(finding);
                let beside = piece.path.parent().unwrap_or(Path::new("."));
                self.keep_evidence(&piece.checkpoint, ground, beside, report);
                return Ok(());
            }
            agreed = piece.checkpoint.size();
        }
        Ok(())
    }

    /// How many entries were audited before and need no second audit.
    fn audited_before(&self, ground: &Ground, report: &mut Report) -> Result<u64, Fault> {
        let Some(kept) = &self.kept else { return Ok(0) };
        if kept.charter != self.members.hash() {
            return Err(Fault::new(
                Kind::Untrue,
                format!("the kept audit was made under the charter {}, not {}", kept.charter, self.members.hash()),
            )
            .hint("name another file with `--keep`"));
        }
        if let Some(finding) = self.contradicts(ground, &kept.checkpoint, Some(&kept.range), 0)? {
            report.findings.push(finding);
            let beside = self.keep.and_then(|(path, _)| path.parent()).unwrap_or(Path::new("."));
            self.keep_evidence(&kept.checkpoint, ground, beside, report);
            return Ok(0);
        }
        if kept.decide != DECIDE_VERSION {
            report.remarks.push(format!(
                "the kept audit was made with version {} of `decide`; everything is audited again with {DECIDE_VERSION}",
                kept.decide
            ));
            return Ok(0);
        }
        Ok(kept.range.size())
    }

    /// Whether a kept checkpoint, with the edge of its tree if there is one, is not a beginning of this log.
    fn contradicts(
        &self,
        ground: &Ground,
        checkpoint: &SignedCheckpoint,
        edge: Option<&ledger::merkle::CompactRange>,
        agreed: u64,
    ) -> Result<Option<Finding>, Fault> {
        let unreadable = "the log can not be read";
        let size = ground.skeleton.size();
        let vouched = checkpoint.size();
        if vouched > size {
            let what = format!("the log has {size} entries, but a checkpoint kept elsewhere vouches for {vouched}");
            return Ok(Some(Finding::at(size, what)));
        }
        let skeleton = &ground.skeleton;
        let by_edge = edge
            .map(|edge| skeleton.first_difference(self.source, edge))
            .transpose()
            .because(Kind::Unavailable, unreadable)?
            .flatten();
        let place = match by_edge {
            Some(place) => Some(place),
            None => {
                let range = skeleton.range_at(self.source, vouched).because(Kind::Unavailable, unreadable)?;
                (range.map(|r| r.root()) != Some(checkpoint.root())).then_some(agreed..vouched)
            }
        };
        Ok(place.map(|place| {
            let last = place.end.saturating_sub(1);
            let what = format!(
                "entries {} to {last} are not those that a checkpoint kept elsewhere vouches for: history was rewritten",
                place.start
            );
            Finding::between(&place, what)
        }))
    }

    fn keep_evidence(&self, ours: &SignedCheckpoint, ground: &Ground, beside: &Path, report: &mut Report) {
        let beside = if beside.as_os_str().is_empty() { Path::new(".") } else { beside };
        let fork = Fork::new(ours.to_bytes(), ground.note.clone());
        // What can not be shown or kept takes nothing away from what was found.
        let fork = ground.skeleton.show(self.source, fork.clone(), self.log, ours.size()).unwrap_or(fork);
        match keep_fork(self.evidence.unwrap_or(beside), &fork) {
            Ok(path) => report.evidence.push(path.display().to_string()),
            Err(fault) => report.remarks.push(format!("{}: keep both checkpoints yourself", fault.message())),
        }
    }

    /// The first statement in which two copies differ. Only the bundle in which their trees differ is read. A copy that
    /// the log did not sign says nothing about one that it did.
    fn compare(&self, ground: &Ground, theirs: &dyn Source, report: &mut Report) -> Result<(), Fault> {
        let unreadable = "a copy of the log can not be read";
        let other = ground::find(theirs, self.log)?;
        if !other.is_signed {
            let why = other.findings.first().map_or("its entries do not lead to the signed root", |f| f.what.as_str());
            report.remarks.push(format!("the other copy is not what the log signed, and was not compared: {why}"));
            return Ok(());
        }
        let Some(bundle) = ground.skeleton.first_other_bundle(&other.skeleton) else { return Ok(()) };
        let read = |source: &dyn Source| source.entries(bundle * BUNDLE, count(BUNDLE));
        let ours = read(self.source).because(Kind::Unavailable, unreadable)?;
        let theirs = read(theirs).because(Kind::Unavailable, unreadable)?;
        let say = |entry: &[u8]| {
            let envelope = Envelope::from_entry(entry).ok()?;
            let statement = Statement::from_bytes(envelope.payload()).ok()?;
            Some(format!(
                "{} by {}: {}",
                statement.claim.kind(),
                envelope.signer().short(),
                show::says(&statement.claim)
            ))
        };
        let differs = (bundle * BUNDLE..).zip(ours.iter().zip(&theirs)).find(|(_, (a, b))| a.bytes != b.bytes);
        if let Some((at, (a, b))) = differs {
            let say = |entry: &[u8]| say(entry).unwrap_or_else(|| "not a statement".to_owned());
            let (here, there) = (say(&a.bytes), say(&b.bytes));
            report.findings.push(Finding::at(
                at,
                format!("entry {at} is not the one in the other copy: here `{here}`, there `{there}`"),
            ));
            let beside = self.keep.and_then(|(path, _)| path.parent()).or(self.evidence);
            match (&other.head, beside) {
                (Some(head), Some(beside)) if ground.is_signed => self.keep_evidence(head, ground, beside, report),
                _ => report.remarks.push("to keep both checkpoints, name a folder with `--evidence`".to_owned()),
            }
        }
        Ok(())
    }
}

/// What depends on the order of entries.
struct Fold<'a> {
    asked: &'a Examination<'a>,
    ground: &'a Ground,
    before: u64,
    report: Report,
    recount: Recount,
    comparisons: Comparisons,
    /// Up to where statements hold up without a gap.
    whole: u64,
    names: HashMap<Identity, u64>,
    /// What statements are about, if it is to be kept.
    subjects: Subjects,
    told: BTreeSet<FlawKind>,
    witnessed: Option<(u64, usize)>,
    kept: u64,
}

impl<'a> Fold<'a> {
    fn new(asked: &'a Examination<'a>, ground: &'a Ground, before: u64, report: Report) -> Result<Self, Fault> {
        let recount =
            Recount::new(asked.members.clone()).because(Kind::Input, "the charter's policy does not hold up")?;
        Ok(Self {
            asked,
            ground,
            before,
            report,
            recount,
            comparisons: Comparisons::new(),
            whole: 0,
            names: HashMap::new(),
            subjects: Subjects::new(),
            told: BTreeSet::new(),
            witnessed: None,
            kept: before,
        })
    }

    fn take(&mut self, part: Part<()>) -> Result<(), Ended> {
        for flaw in &part.flaws {
            self.tell(flaw);
        }
        self.report.checkpoints += part.checkpoints;
        self.report.cosignatures += part.cosignatures;
        self.witnessed = part.witnessed.or(self.witnessed);
        for said in part.said {
            if said.entry.index() == self.whole {
                self.statement(said.entry, &said.members)?;
                self.whole += 1;
            }
        }
        self.found();
        self.asked.progress.at(part.end);
        self.keep()
    }

    /// The first flaw of each kind: what comes after it follows from it.
    fn tell(&mut self, flaw: &Flaw) {
        if self.told.insert(flaw.kind()) {
            self.report.findings.push(Finding::of_flaw(flaw));
        }
    }

    fn statement(&mut self, entry: Verified<Statement>, members: &Members) -> Result<(), Ended> {
        let index = entry.index();
        if let Some(name) = entry.identity()
            && let Some(first) = self.names.insert(name, index)
        {
            self.names.insert(name, first);
            let what = format!("entry {index} is the statement that stands at {first} already, a second time");
            self.report.findings.push(Finding::at(index, what));
        }
        if self.asked.keep.is_some() {
            let taken = self.subjects.take(&entry, members);
            taken.map_err(|e| Ended::Fault(Fault::from_error(Kind::Internal, e)))?;
        }
        self.comparisons.take(&entry, self.asked.documents);
        self.recount.take(entry, index < self.before).map_err(out_of_order)
    }

    fn found(&mut self) {
        let found = self.recount.take_found();
        self.report.findings.extend(found.iter().map(of_contradiction));
        let found = self.comparisons.take_found();
        let of =
            |m: &gate::comparison::Mismatch| Finding::at(m.index, format!("the statement at {}: {}", m.index, m.what));
        self.report.findings.extend(found.iter().map(of));
    }

    /// Keeps how far the audit has come, if nothing is wrong so far.
    fn keep(&mut self) -> Result<(), Ended> {
        let Some((path, every)) = self.asked.keep else { return Ok(()) };
        let settled = self.recount.settled().unwrap_or(0) / BUNDLE * BUNDLE;
        if settled < self.kept.saturating_add(every) || !self.report.findings.is_empty() {
            return Ok(());
        }
        if let Some(kept) = self.asked.kept_at(self.ground, settled).map_err(Ended::Fault)? {
            write_kept(path, &kept).map_err(Ended::Fault)?;
        }
        self.kept = settled;
        Ok(())
    }

    /// The report, and a second reading if one is needed.
    fn finish(mut self) -> Result<(Report, Option<Recount>, Subjects), Fault> {
        self.recount.finish().map_err(out_of_order)?;
        self.found();
        let size = self.report.statements;
        self.report.verdicts = self.recount.verdicts();
        self.report.analyses = self.comparisons.statements();
        if let Some(first) = self.comparisons.missing().first() {
            let documents = show::plural(self.comparisons.missing().len(), "release document");
            self.report.remarks.push(format!(
                "{documents} were not at hand, {first} first: whether rollouts of them were compared as approved was not looked at; name the folder that has them with `--releases`"
            ));
        }
        for (version, index) in self.recount.other_versions() {
            self.report.findings.push(Finding::at(
                *index,
                format!(
                    "the verdict at {index} is by version {version} of `decide`, which can not be recomputed: this program has {DECIDE_VERSION}"
                ),
            ));
        }
        if self.whole < size {
            self.report.remarks.push(format!(
                "the verdicts were not recomputed from entry {} on: the statements under them do not hold up",
                self.whole
            ));
        }
        if self.asked.witnesses.is_witnessed() {
            match self.witnessed {
                Some((witnessed, operators)) => {
                    self.report.witness_operators = operators;
                    let left = size.saturating_sub(witnessed);
                    if left > 0 {
                        let left = show::plural(count(left), "statement");
                        let remark = format!("the last {left} are not cosigned by the quorum of witnesses yet");
                        self.report.remarks.push(remark);
                    }
                }
                None if self.before > 0 => self
                    .report
                    .remarks
                    .push("no checkpoint of what is new is cosigned by the quorum of witnesses yet".to_owned()),
                None => self.report.findings.push(Finding::nowhere(
                    "no checkpoint of these entries is cosigned by the quorum of witnesses that the charter asks for"
                        .to_owned(),
                )),
            }
        }
        if let Some(time) = self.recount.facts().time() {
            let age_s = SystemClock.now().unix().saturating_sub(time.latest.unix());
            let allowed_s = self.asked.members.charter().environments.iter().map(|e| e.max_age_s).max().unwrap_or(0);
            let old =
                if age_s > allowed_s { ", longer than agents accept: is there a newer log elsewhere?" } else { "" };
            let (by, at) = (if time.witnessed { "cosigned" } else { "made" }, time.latest);
            let covers = time.covers;
            self.report.remarks.push(format!(
                "the newest checkpoint in a tick, of {covers} entries, was {by} at {at}, {age_s} s ago{old}"
            ));
        }
        let again = self.recount.again();
        Ok((self.report, again, self.subjects))
    }
}

/// Keeps it durably.
pub(super) fn write_kept(path: &Path, kept: &Kept) -> Result<(), Fault> {
    ledger::durable::write(path, &kept.to_bytes(), 0o600)
        .because(Kind::Unavailable, format!("`{}` can not be written", path.display()))
}

fn out_of_order(error: gate::FactsError) -> Ended {
    Ended::Fault(Fault::from_error(Kind::Untrue, error).context("the log's statements do not follow each other"))
}

fn of_contradiction(found: &Contradiction) -> Finding {
    let index = found.index();
    Finding::at(
        index,
        match found {
            Contradiction::Ruling { said, follows, .. } => format!(
                "the verdict at {index} says `{}`, and its statements say `{}`",
                show::verdict(said),
                show::verdict(follows)
            ),
            Contradiction::Undecidable { error, .. } => format!("the verdict at {index}: {}", Finding::chain(error)),
            Contradiction::Ahead { size, .. } => {
                format!("the verdict at {index} says that it was decided over {size} statements, more than there were")
            }
            Contradiction::Unfounded { proposal, .. } => {
                format!("the rollout that began at {index} had no granted verdict on proposal {proposal}")
            }
            Contradiction::Returned { proposal, .. } => {
                format!("what was brought back at {index} had no granted verdict of that time on proposal {proposal}")
            }
        },
    )
}

/// What the charter does not promise.
fn remarks(members: &Members) -> Result<Vec<String>, Fault> {
    let charter = members.charter();
    let mut remarks = Vec::new();
    if charter.demo {
        remarks.push("the charter is marked demo: its keys were made in one place, and it protects nothing".to_owned());
    }
    if charter.witness_quorum == 0 {
        remarks.push(
            "unwitnessed: no witness is asked, so whoever holds the log's key could show others another log".to_owned(),
        );
    }
    let duties = gate::duties::check(charter).because(Kind::Refused, "the charter is refused")?;
    remarks.push(duties.promise.to_string());
    Ok(remarks)
}
