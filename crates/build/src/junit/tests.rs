//! Reports as tools write them, and reports that are wrong.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::{CASES, DEPTH, JunitProblem, Outcome, REPORT_BYTES, Report, parse};

macro_rules! fixtures {
    ($($name:ident = $file:literal;)*) => {
        $(const $name: &str = include_str!(concat!("fixtures/", $file));)*
        const ALL: &[&str] = &[$($name),*];
    };
}

fixtures! {
    GOOGLETEST = "googletest.xml";
    JEST = "jest.xml";
    JEST_TODO = "jest-todo.xml";
    NEXTEST = "nextest.xml";
    NEXTEST_FAILED = "nextest-failed.xml";
    PHPUNIT = "phpunit.xml";
    PYTEST = "pytest.xml";
    PYTEST_FAILED = "pytest-failed.xml";
    PYTEST_NONE = "pytest-none.xml";
    SUREFIRE = "surefire.xml";
    SUREFIRE_RERUNS = "surefire-reruns.xml";
}

fn read(text: &str) -> Report {
    parse(text.as_bytes()).unwrap_or_else(|e| panic!("{e}\n{text}"))
}

/// A report on few lines: one a case, then what is odd.
fn shown(report: &Report) -> String {
    let mut out = String::new();
    for case in &report.cases {
        let requirements: Vec<&str> = case.requirements.iter().map(|r| r.as_str()).collect();
        let time = case.time_ms.map_or("-".to_owned(), |ms| format!("{ms} ms"));
        writeln!(out, "{:8} {:9} {} {}", case.outcome.as_str(), time, case.id, requirements.join(",")).unwrap();
    }
    for contradiction in &report.contradictions {
        writeln!(out, "! {contradiction}").unwrap();
    }
    for (case, text) in &report.not_requirements {
        writeln!(out, "? {case}: {text}").unwrap();
    }
    out.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[test]
fn cargo_nextest() {
    insta::assert_snapshot!(shown(&read(NEXTEST)));
    insta::assert_snapshot!(shown(&read(NEXTEST_FAILED)));
}

#[test]
fn pytest() {
    insta::assert_snapshot!(shown(&read(PYTEST)));
    insta::assert_snapshot!(shown(&read(PYTEST_FAILED)));
    assert_eq!(read(PYTEST_NONE).cases, []);
}

#[test]
fn jest_junit() {
    insta::assert_snapshot!(shown(&read(JEST)));
    insta::assert_snapshot!(shown(&read(JEST_TODO)));
}

#[test]
fn maven_surefire() {
    insta::assert_snapshot!(shown(&read(SUREFIRE)));
    insta::assert_snapshot!(shown(&read(SUREFIRE_RERUNS)));
}

#[test]
fn googletest_and_phpunit() {
    insta::assert_snapshot!(shown(&read(GOOGLETEST)));
    insta::assert_snapshot!(shown(&read(PHPUNIT)));
}

/// What is read although no tool of the above writes it.
#[test]
fn odd_but_readable() {
    for (text, wanted) in [
        ("\u{feff}<testsuites/>", ""),
        ("<?xml version='1.0' encoding='ISO-8859-1'?><testsuite/>", ""),
        ("<testsuites><testcase name='a'/></testsuites>", "passed   -         a"),
        ("<testsuite name='s'><testcase name='a' time='nan'/></testsuite>", "passed   -         s › a"),
        ("<testsuite name='s'><testcase time='0.5' classname='c'/></testsuite>", "passed   500 ms    c"),
        ("<testsuite tests='x'><testcase name='a' classname='c' time='-1'/></testsuite>", "passed   -         c › a"),
        ("<s:testsuite xmlns:s='urn:x'><s:testcase name='a'/></s:testsuite>", "passed   -         a"),
        ("<testsuite><testcase name='a'><error/><failure/><skipped/></testcase></testsuite>", "error    -         a"),
        ("<testsuite><testcase name='a'><skipped/><flakyFailure/></testcase></testsuite>", "skipped  -         a"),
        ("<testsuite><testcase name='a'><rerunFailure/></testcase></testsuite>", "failed   -         a"),
        ("<testsuite><testcase name='a' status='fail'/></testsuite>", "failed   -         a"),
        ("<testsuite><testcase name='a' status='fail'><skipped/></testcase></testsuite>", "failed   -         a"),
        ("<testsuite><testcase name='a&#x9;b &amp;lt; &lt;'/></testsuite>", "passed   -         a\\u{9}b &lt; <"),
        ("<testsuite name='s'><error>setup</error></testsuite>", "error    -         s › (the suite itself)"),
        (
            "<testsuite><testcase name='a'><properties><property name='Requirement-IDs'>PAY-1, PAY-2</property></properties></testcase></testsuite>",
            "passed   -         a PAY-1,PAY-2",
        ),
        (
            "<testsuite><testcase name='a'><system-out>x [[PROPERTY|verifies=PAY-1 nonsense]] [[PROPERTY|requirement</system-out></testcase></testsuite>",
            "passed   -         a PAY-1\n? a: nonsense",
        ),
        (
            "<testsuite tests='2'><testcase name='a'/></testsuite>",
            "passed   -         a\n! line 1: the suite `` says 2 cases but has 1",
        ),
        (
            "<testsuite failures='1'><testcase name='a'/></testsuite>",
            "passed   -         a\n! line 1: the suite `` says 1 failures and errors but has 0",
        ),
        (
            "<testsuite skipped='1'>\n<testcase name='a'/></testsuite>",
            "passed   -         a\n! line 1: the suite `` says 1 skipped cases but has 0",
        ),
    ] {
        assert_eq!(shown(&read(text)), wanted, "{text}");
    }
}

#[test]
fn wrong_reports_are_explained() {
    let many_attributes: String = (0..100).map(|n| format!(" a{n}=''")).collect();
    let laughs = "<?xml version='1.0'?>\n<!DOCTYPE lolz [<!ENTITY lol 'lol'><!ENTITY lol2 '&lol;&lol;'>]>\n<testsuite name='&lol2;'/>";
    let wrong: &[(&str, &str)] = &[
        ("nothing", ""),
        ("only space", " \n\n "),
        ("only a declaration", "<?xml version='1.0'?>\n"),
        ("not XML", "{\"tests\": 3}"),
        ("a page", "<html><body>502 Bad Gateway</body></html>"),
        ("billion laughs", laughs),
        ("a file read in", "<!DOCTYPE x SYSTEM 'file:///etc/passwd'><testsuite/>"),
        ("an entity from nowhere", "<testsuite>\n<testcase name='a'>&bomb;</testcase></testsuite>"),
        ("an entity in a name", "<testsuite><testcase name='&bomb;'/></testsuite>"),
        ("cut off in an element", "<testsuites>\n<testsuite name='s'>\n<testcase name='a"),
        ("cut off between elements", "<testsuites>\n<testsuite name='s'>\n<testcase name='a'/>"),
        ("cut off in output", "<testsuite>\n<testcase name='a'><system-out><![CDATA[runn"),
        ("cut off in an element with an escape", "<testsuite>\n<\u{1e}x>"),
        ("ends crossed", "<testsuites>\n<testsuite></testsuites></testsuite>"),
        ("an end too many", "<testsuite></testsuite></testsuite>"),
        ("two reports in one", "<testsuite/>\n<testsuite/>"),
        ("text behind", "<testsuite/>\nok"),
        ("an attribute twice", "<testsuite>\n<testcase name='a' name='b'/></testsuite>"),
        ("no name", "<testsuite>\n\n<testcase time='1'/></testsuite>"),
        ("a status from nowhere", "<testsuite><testcase name='a' status='probably'/></testsuite>"),
        ("a case in a case", "<testsuite><testcase name='a'><testcase name='b'/></testcase></testsuite>"),
        ("a case in something else", "<testsuite><group>\n<testcase name='b'/></group></testsuite>"),
        ("another encoding", "<?xml version='1.0' encoding='UTF-16'?><testsuite/>"),
        ("letters of another encoding", "<?xml version='1.0' encoding='ISO-8859-1'?><testsuite name='ä'/>"),
        ("an escape", "<testsuite><testcase name='a' status='\u{1b}[2J'/></testsuite>"),
    ];
    let mut out = String::new();
    for (name, text) in wrong {
        let error = parse(text.as_bytes()).map(|r| shown(&r)).expect_err(name);
        writeln!(out, "{name}: {error}").unwrap();
    }
    let bytes: &[(&str, &[u8])] =
        &[("UTF-16", b"\xff\xfe<\0t\0"), ("Latin-1", b"<testsuite>\n<testcase name='\xe4'/></testsuite>")];
    for (name, bytes) in bytes {
        writeln!(out, "{name}: {}", parse(bytes).expect_err(name)).unwrap();
    }
    writeln!(out, "many attributes: {}", parse(format!("<testsuite{many_attributes}/>").as_bytes()).unwrap_err())
        .unwrap();
    let deep = "<testsuite>".repeat(DEPTH + 1);
    writeln!(out, "deep: {}", parse(deep.as_bytes()).unwrap_err()).unwrap();
    insta::assert_snapshot!(out);
}

#[test]
fn size_is_limited() {
    let large = vec![b' '; REPORT_BYTES + 1];
    assert!(matches!(parse(&large).unwrap_err().problem, JunitProblem::TooLarge { .. }));
    let many = format!("<testsuite>{}</testsuite>", "<testcase name='a'/>".repeat(CASES + 1));
    assert!(matches!(parse(many.as_bytes()).unwrap_err().problem, JunitProblem::TooMany { what: "cases", .. }));
}

/// The order in which a parallel runner writes cases of one name makes no difference, and none of them is lost.
#[test]
fn cases_of_one_name_are_told_apart() {
    let cases = [
        "<testcase name='a'/>",
        "<testcase name='a'><failure/></testcase>",
        "<testcase name='a' time='1'/>",
        "<testcase name='a #2'/>",
    ];
    let wrapped =
        |order: &[usize]| format!("<testsuite>{}</testsuite>", order.iter().map(|n| cases[*n]).collect::<String>());
    let first = read(&wrapped(&[0, 1, 2, 3]));
    let outcomes: Vec<(&str, Outcome)> = first.cases.iter().map(|c| (c.id.as_str(), c.outcome)).collect();
    assert_eq!(
        outcomes,
        [("a", Outcome::Passed), ("a #2", Outcome::Passed), ("a #3", Outcome::Passed), ("a #4", Outcome::Failed)]
    );
    for order in [[3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
        assert_eq!(read(&wrapped(&order)), first);
    }
}

#[test]
fn long_names_stay_different() {
    let name = |end: &str| format!("{}{end}", "ä".repeat(5_000));
    let text = format!("<testsuite><testcase name='{}'/><testcase name='{}'/></testsuite>", name("1"), name("2"));
    let ids: Vec<String> = read(&text).cases.iter().map(|c| c.id.to_string()).collect();
    assert_eq!(ids.len(), 2);
    assert!(ids.iter().all(|id| id.len() < 450 && !id.contains('#')), "{ids:?}");
}

/// Output that looks like XML, or like a case, is output.
#[test]
fn output_is_not_read_as_cases() {
    let report = read(JEST);
    assert!(!report.cases.iter().any(|c| c.id.as_str().contains("not one")));
}

fn checked(bytes: &[u8]) {
    match parse(bytes) {
        Ok(report) => {
            assert!(report.cases.windows(2).all(|pair| pair[0].id < pair[1].id));
        }
        Err(error) => {
            let lines = bytes.iter().filter(|b| **b == b'\n').count() + 1;
            assert!((1..=lines).contains(&error.line), "{error}");
            assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
        }
    }
}

fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..8),
        Just(b"<testcase name='x'>".to_vec()),
        Just(b"</testsuite>".to_vec()),
        Just(b"<![CDATA[".to_vec()),
        Just(b"&#0;".to_vec()),
        Just(b"<!--".to_vec()),
    ];
    (prop::sample::select(ALL.to_vec()), any::<prop::sample::Index>(), 0_usize..60, part).prop_map(
        |(text, at, length, part)| {
            let mut bytes = text.as_bytes().to_vec();
            let at = at.index(bytes.len());
            let end = (at + length).min(bytes.len());
            bytes.splice(at..end, part);
            bytes
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        checked(&bytes);
    }

    #[test]
    fn any_markup(text in "(<|>|/|'|\"|=| |&|;|!|\\[|\\]|--|testsuite|testcase|name|property|a|\n){0,60}") {
        checked(text.as_bytes());
    }

    #[test]
    fn any_damage(bytes in damaged()) {
        checked(&bytes);
    }

    /// A report that was cut off is never read as a smaller one.
    #[test]
    fn any_cut(text in prop::sample::select(ALL.to_vec()), at in any::<prop::sample::Index>()) {
        let whole = text.trim_end();
        prop_assert!(parse(&whole.as_bytes()[..at.index(whole.len())]).is_err());
    }
}
