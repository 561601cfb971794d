//! The truth table of judging: a row a reason, in the order in which they are shown, and what goes around it.

use std::{collections::BTreeSet, fmt::Write as _};

use model::{
    CaseId, Timestamp,
    manifest::{Manifest, SuiteDefinition},
};
use proptest::prelude::*;

use super::{
    CaseList, CaseListError, Exception, Exit, JudgeInput, Judgement, Kind, ReportFile, ReportPart, Totals, judge,
};

const MANIFEST: &str = r#"
system = "desk"
components.web = { image = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", port = 80, zone = "front" }
zones.front = {}

[suites.e2e]
kind = "full"
on = "containers"
run = ["pytest"]
report = "e2e.xml"
requirements = ["PAY-1", "PAY-2"]
paths = ["e2e"]
timeout_s = 60
"#;

const STARTED_MS: u64 = 1_000_000;
const NOW: u64 = 1_000;

fn definition() -> SuiteDefinition {
    let manifest = Manifest::parse(MANIFEST).unwrap().manifest;
    manifest.suites.into_values().next().unwrap()
}

fn case(id: &str) -> CaseId {
    id.parse().unwrap()
}

fn leave(id: &str, until: u64) -> Exception {
    Exception { case: case(id).pseudonym(), until: Timestamp::from_unix(until) }
}

/// A run as it should be, to be made wrong in one way each.
struct Run {
    report: String,
    missing: bool,
    unreadable: bool,
    modified_ms: u64,
    exit: Exit,
    exceptions: Vec<Exception>,
    baseline: BTreeSet<CaseId>,
}

impl Run {
    fn good() -> Self {
        Self::of("<testsuite name='e2e'><testcase name='pays'/><testcase name='books'/></testsuite>")
    }

    fn of(report: &str) -> Self {
        Self {
            report: report.to_owned(),
            missing: false,
            unreadable: false,
            modified_ms: STARTED_MS + 500,
            exit: Exit::Code(0),
            exceptions: Vec::new(),
            baseline: BTreeSet::new(),
        }
    }

    fn judged(&self) -> Judgement {
        let part = [ReportPart { path: "e2e.xml", bytes: self.report.as_bytes(), modified_ms: self.modified_ms }];
        let report = if self.missing {
            ReportFile::Missing
        } else if self.unreadable {
            ReportFile::Unreadable("it is a folder")
        } else {
            ReportFile::Found(&part)
        };
        judge(&JudgeInput {
            definition: &definition(),
            report,
            started_ms: STARTED_MS,
            exit: self.exit,
            exceptions: &self.exceptions,
            now: Timestamp::from_unix(NOW),
            baseline: &self.baseline,
        })
    }

    fn kinds(&self) -> Vec<Kind> {
        self.judged().reasons.iter().map(super::Reason::kind).collect()
    }
}

const FAILED: &str = "<testcase name='refunds'><failure/></testcase>";
const BROKEN: &str = "<testcase name='opens'><error/></testcase>";
const SKIPPED: &str = "<testcase name='settles'><skipped/></testcase>";
const PASSED: &str = "<testcase name='pays'/>";

fn suite(cases: &[&str]) -> String {
    format!("<testsuite name='e2e'>{}</testsuite>", cases.concat())
}

#[test]
fn a_run_as_it_should_be_counts() {
    let judgement = Run::good().judged();
    assert!(judgement.is_tested(), "{:?}", judgement.reasons);
    assert_eq!(judgement.totals, Totals { cases: 2, passed: 2, ..Totals::default() });
    let covers: Vec<&str> = judgement.covers.iter().map(|r| r.as_str()).collect();
    assert_eq!(covers, ["PAY-1", "PAY-2"]);
}

/// One row a reason. Each run is right but for what the row says.
#[test]
fn every_reason_is_found_alone() {
    let rows: Vec<(Kind, Run)> = vec![
        (Kind::TimedOut, Run { exit: Exit::TimedOut, ..Run::good() }),
        (Kind::NoReport, Run { missing: true, ..Run::good() }),
        (Kind::UnreadableReport, Run { unreadable: true, ..Run::good() }),
        (Kind::OldReport, Run { modified_ms: STARTED_MS - 60_000, ..Run::good() }),
        (Kind::Malformed, Run::of("<testsuite><testcase name='pays'/>")),
        (Kind::NoCases, Run::of("<testsuites/>")),
        (Kind::NothingRan, Run { exceptions: vec![leave("e2e › settles", NOW + 1)], ..Run::of(&suite(&[SKIPPED])) }),
        (Kind::Failed, Run { exit: Exit::Code(1), ..Run::of(&suite(&[PASSED, FAILED, BROKEN])) }),
        (Kind::Contradicted, Run::of("<testsuite name='e2e' tests='3'><testcase name='pays'/></testsuite>")),
        (Kind::SkippedWithoutException, Run::of(&suite(&[PASSED, SKIPPED]))),
        (Kind::MissingFromBaseline, Run { baseline: [case("e2e › refunds")].into(), ..Run::good() }),
        (Kind::ExitMismatch, Run { exit: Exit::Code(3), ..Run::good() }),
    ];
    let mut words = String::new();
    for (number, (kind, run)) in rows.iter().enumerate() {
        assert_eq!(run.kinds(), [*kind], "row {number}");
        let judgement = run.judged();
        assert!(!judgement.is_tested());
        assert!(judgement.covers.is_empty(), "what is not tested covers nothing");
        let reason = &judgement.reasons[0];
        writeln!(words, "{}: {reason}\n    {}", kind.as_str(), reason.hint()).unwrap();
    }
    let kinds: Vec<Kind> = rows.iter().map(|(kind, _)| *kind).collect();
    assert!(kinds.is_sorted(), "the rows are in the order of priority");
    insta::assert_snapshot!(words);
}

#[test]
fn all_reasons_are_told_the_worst_first() {
    let run = Run {
        exit: Exit::TimedOut,
        baseline: [case("e2e › books")].into(),
        ..Run::of(&format!("<testsuite name='e2e' tests='9'>{SKIPPED}{FAILED}</testsuite>"))
    };
    assert_eq!(
        run.kinds(),
        [Kind::TimedOut, Kind::Failed, Kind::Contradicted, Kind::SkippedWithoutException, Kind::MissingFromBaseline]
    );
    let stopped = Run { exit: Exit::Signal(9), missing: true, ..Run::good() };
    assert_eq!(stopped.kinds(), [Kind::NoReport, Kind::ExitMismatch]);
    let empty = Run { exit: Exit::Code(5), baseline: [case("e2e › pays")].into(), ..Run::of("<testsuites/>") };
    assert_eq!(empty.kinds(), [Kind::NoCases, Kind::MissingFromBaseline, Kind::ExitMismatch]);
}

/// Around each edge: the last that counts, the first that does not.
#[test]
fn edges() {
    let written_at = |modified_ms| Run { modified_ms, ..Run::good() }.judged().is_tested();
    assert!(written_at(STARTED_MS));
    assert!(written_at(STARTED_MS - 10), "the clock of files is a tick behind");
    assert!(!written_at(STARTED_MS - 11));
    assert!(!written_at(0));

    let until =
        |until| Run { exceptions: vec![leave("e2e › settles", until)], ..Run::of(&suite(&[PASSED, SKIPPED])) }.judged();
    assert!(until(NOW + 1).is_tested());
    assert_eq!(until(NOW + 1).excepted, [case("e2e › settles")]);
    assert!(!until(NOW).is_tested(), "an exception does not count at its end");
    let other = Run { exceptions: vec![leave("settles", NOW + 1)], ..Run::of(&suite(&[PASSED, SKIPPED])) };
    assert_eq!(other.kinds(), [Kind::SkippedWithoutException], "an exception is for one case");

    let gone = Run {
        baseline: [case("e2e › refunds")].into(),
        exceptions: vec![leave("e2e › refunds", NOW + 1)],
        ..Run::good()
    };
    assert!(gone.judged().is_tested());
    assert_eq!(gone.judged().excepted, [case("e2e › refunds")]);

    let failed = Run { exceptions: vec![leave("e2e › refunds", NOW + 1)], ..Run::of(&suite(&[PASSED, FAILED])) };
    assert_eq!(failed.kinds(), [Kind::Failed], "no exception excuses a failure");
    let green = Run::of(&suite(&[PASSED, FAILED]));
    assert_eq!(green.kinds(), [Kind::Failed], "an exit of 0 does not make a failure good");

    let flaky = Run::of(&suite(&[PASSED, "<testcase name='retries'><flakyFailure/></testcase>"])).judged();
    assert!(flaky.is_tested());
    assert_eq!(flaky.flaky, [case("e2e › retries")]);
    assert_eq!(flaky.totals.flaky, 1);
}

/// Several files are one report, whatever their order; one that is old or broken spoils it, and is named.
#[test]
fn several_files_are_one_report() {
    let judged = |files: &[(&str, &str, u64)]| {
        let parts: Vec<ReportPart<'_>> = files
            .iter()
            .map(|(path, text, modified_ms)| ReportPart { path, bytes: text.as_bytes(), modified_ms: *modified_ms })
            .collect();
        judge(&JudgeInput {
            definition: &definition(),
            report: ReportFile::Found(&parts),
            started_ms: STARTED_MS,
            exit: Exit::Code(0),
            exceptions: &[],
            now: Timestamp::from_unix(NOW),
            baseline: &BTreeSet::new(),
        })
    };
    let a = ("TEST-a.xml", "<testsuite name='a'><testcase name='x'/><testcase name='x'/></testsuite>", STARTED_MS);
    let b = ("TEST-b.xml", "<testsuite name='a' tests='1'><testcase name='x'/></testsuite>", STARTED_MS);
    let whole = judged(&[a, b]);
    assert!(whole.is_tested());
    assert_eq!(whole.totals.cases, 3);
    assert_eq!(judged(&[b, a]), whole);
    assert_eq!(judged(&[]).reasons[0].kind(), Kind::NoReport);
    let old = ("TEST-old.xml", b.1, STARTED_MS - 1_000);
    assert_eq!(judged(&[a, old]).reasons[0].to_string(), "the report at `TEST-old.xml` is 1000 ms older than the run");
    let broken = ("TEST-broken.xml", "<testsuite>", STARTED_MS);
    let said = judged(&[a, broken]).reasons[0].to_string();
    assert!(said.starts_with("the report at `TEST-broken.xml` can not be used: line 1:"), "{said}");
}

/// A claim of the definition counts only as far as the cases bear it out.
#[test]
fn requirements_are_covered_by_passing_cases() {
    let naming = |name: &str, requirement: &str, more: &str| {
        format!(
            "<testcase name='{name}'><properties><property name='requirement' value='{requirement}'/></properties>{more}</testcase>"
        )
    };
    let covers = |cases: &[&str], exceptions: Vec<Exception>| -> Vec<String> {
        let judgement = Run { exceptions, ..Run::of(&suite(cases)) }.judged();
        assert!(judgement.is_tested(), "{:?}", judgement.reasons);
        judgement.covers.iter().map(|r| r.as_str().to_owned()).collect()
    };
    assert_eq!(covers(&[&naming("a", "PAY-1", "")], vec![]), ["PAY-1", "PAY-2"]);
    assert_eq!(covers(&[&naming("a", "PAY-7", "")], vec![]), ["PAY-1", "PAY-2", "PAY-7"]);
    let skipped = naming("a", "PAY-1", "<skipped/>");
    let by_leave = || vec![leave("e2e › a", NOW + 1)];
    assert_eq!(covers(&[PASSED, &skipped], by_leave()), ["PAY-2"], "only a skipped case names it");
    assert_eq!(covers(&[PASSED, &skipped, &naming("b", "PAY-1", "")], by_leave()), ["PAY-1", "PAY-2"]);
}

#[test]
fn the_list_of_cases_is_frozen_and_read_back() {
    let run = Run::of(&suite(&[
        "<testcase name='pays' time='0.25'><properties><property name='requirement' value='PAY-2 PAY-1'/></properties></testcase>",
        FAILED,
        SKIPPED,
        BROKEN,
        "<testcase name='retries'><flakyFailure/></testcase>",
    ]));
    let list = run.judged().cases.unwrap();
    let bytes = list.to_bytes().unwrap();
    assert_eq!(
        String::from_utf8(bytes.clone()).unwrap(),
        concat!(
            r#"{"version":1,"suite":"e2e","cases":["#,
            r#"{"id":"e2e › opens","outcome":"error","time_ms":null,"requirements":[]},"#,
            r#"{"id":"e2e › pays","outcome":"passed","time_ms":250,"requirements":["PAY-1","PAY-2"]},"#,
            r#"{"id":"e2e › refunds","outcome":"failed","time_ms":null,"requirements":[]},"#,
            r#"{"id":"e2e › retries","outcome":"flaky","time_ms":null,"requirements":[]},"#,
            r#"{"id":"e2e › settles","outcome":"skipped","time_ms":null,"requirements":[]}]}"#
        )
    );
    let back = CaseList::from_bytes(&bytes).unwrap();
    assert_eq!(back, list);
    assert_eq!(back.digest().unwrap(), list.digest().unwrap());
    assert_eq!(back.baseline(), [case("e2e › pays"), case("e2e › retries")].into());
    assert_eq!(back.suite().as_str(), "e2e");
    assert_eq!(back.cases().len(), 5);
}

#[test]
fn another_form_is_refused() {
    let pays = r#"{"id":"pays","outcome":"passed","time_ms":1,"requirements":[]}"#;
    let books = r#"{"id":"books","outcome":"passed","time_ms":1,"requirements":[]}"#;
    let list = |version: u32, cases: &str| format!(r#"{{"version":{version},"suite":"e2e","cases":[{cases}]}}"#);
    let read = |text: &str| CaseList::from_bytes(text.as_bytes());
    assert!(read(&list(1, &format!("{books},{pays}"))).is_ok());
    assert!(matches!(read(&list(1, &format!("{pays},{books}"))), Err(CaseListError::Order(_))));
    assert!(matches!(read(&list(1, &format!("{pays},{pays}"))), Err(CaseListError::Order(_))));
    assert!(matches!(read(&list(2, pays)), Err(CaseListError::Version(2))));
    assert!(matches!(read(&format!(" {}", list(1, pays))), Err(CaseListError::Form(_))));
    assert!(matches!(read(&list(1, pays).replace("passed", "green")), Err(CaseListError::Form(_))));
    assert!(matches!(
        read(&list(1, pays).replace("\"time_ms\":1,", "\"time_ms\":1,\"owner\":\"x\",")),
        Err(CaseListError::Form(_))
    ));
}

/// What passed becomes the baseline; the same report against it counts, and losing any case of it does not.
#[test]
fn a_deleted_case_is_missed() {
    let whole = Run::of(&suite(&[PASSED, PASSED, "<testcase name='books'/>"]));
    let baseline = whole.judged().cases.unwrap().baseline();
    assert_eq!(baseline.len(), 3);
    assert!(Run { baseline: baseline.clone(), ..whole }.judged().is_tested());
    for left in [&[PASSED, PASSED][..], &[PASSED, "<testcase name='books'/>"]] {
        let run = Run { baseline: baseline.clone(), ..Run::of(&suite(left)) };
        assert_eq!(run.kinds(), [Kind::MissingFromBaseline]);
    }
}

fn any_case() -> impl Strategy<Value = (u8, u8)> {
    (0_u8..6, 0_u8..6)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Whatever the run, it counts only if every condition holds; worked out here a second time, in another way.
    #[test]
    fn only_what_holds_in_all_respects_counts(
        cases in prop::collection::vec(any_case(), 0..8),
        code in prop_oneof![Just(Exit::Code(0)), Just(Exit::Code(1)), Just(Exit::Signal(9)), Just(Exit::TimedOut)],
        excused in prop::collection::btree_set(0_u8..6, 0..4),
        baseline in prop::collection::btree_set(0_u8..6, 0..3),
        late in any::<bool>(),
    ) {
        let child = ["", "", "<flakyFailure/>", "<skipped/>", "<failure/>", "<error/>"];
        let mut names = BTreeSet::new();
        let cases: Vec<(u8, u8)> = cases.into_iter().filter(|(name, _)| names.insert(*name)).collect();
        let body: Vec<String> = cases.iter()
            .map(|(name, how)| format!("<testcase name='c{name}'>{}</testcase>", child[usize::from(*how)]))
            .collect();
        let id = |name: &u8| format!("e2e › c{name}");
        let run = Run {
            exit: code,
            modified_ms: if late { STARTED_MS - 5_000 } else { STARTED_MS },
            exceptions: excused.iter().map(|name| leave(&id(name), NOW + 5)).collect(),
            baseline: baseline.iter().map(|name| case(&id(name))).collect(),
            ..Run::of(&suite(&body.iter().map(String::as_str).collect::<Vec<_>>()))
        };
        let judgement = run.judged();
        let expected = code == Exit::Code(0)
            && !late
            && cases.iter().any(|(_, how)| *how < 3)
            && cases.iter().all(|(name, how)| *how < 3 || (*how == 3 && excused.contains(name)))
            && baseline.iter().all(|name| names.contains(name) || excused.contains(name));
        prop_assert_eq!(judgement.is_tested(), expected, "{:?}", judgement.reasons);
        prop_assert!(judgement.reasons.is_sorted_by_key(super::Reason::kind));
        if let Some(list) = judgement.cases {
            let bytes = list.to_bytes().unwrap();
            prop_assert_eq!(CaseList::from_bytes(&bytes).unwrap(), list);
        }
    }
}
