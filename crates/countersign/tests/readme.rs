//! README and the documents are run: their blocks marked `tested` as a shell script, their manifests and founding files by
//! the program that reads them, and their tables against what the program says of itself.
//!
//! What needs root is not run here: the tests of a whole installation do that.

#![expect(clippy::unwrap_used, reason = "a test file: what is unwrapped fails the test")]

use std::{
    collections::BTreeSet,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
};

use model::manifest::limits;

/// The folder of the trial in README, which the test replaces by one of its own.
const TRIAL: &str = "/srv/trial";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// The fenced blocks of a document whose fence says exactly this.
fn blocks(document: &str, fence: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        if line.strip_prefix("```") == Some(fence) {
            found.push(
                lines.by_ref().take_while(|line| !line.starts_with("```")).map(|line| format!("{line}\n")).collect(),
            );
        }
    }
    found
}

/// Runs the program and gives back what it printed; it must succeed.
fn countersign(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_countersign")).args(args).output().unwrap();
    assert!(output.status.success(), "countersign {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The verbs that `countersign --help` lists.
fn verbs() -> BTreeSet<String> {
    let help = countersign(&["--help"]);
    let list = help.split("Commands:\n").nth(1).unwrap();
    let names = list.lines().take_while(|line| !line.is_empty()).filter_map(|line| line.split_whitespace().next());
    names.filter(|name| *name != "help").map(str::to_owned).collect()
}

/// The names in backquotes in the first column of the table with this heading.
fn first_column(document: &str, heading: &str) -> BTreeSet<String> {
    let rows = document.lines().skip_while(|line| *line != heading).skip(2).take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').nth(1).unwrap().to_owned()).collect()
}

#[test]
fn the_trial_of_the_readme_works_until_it_needs_root() {
    let folder = tempfile::tempdir().unwrap();
    let trial = folder.path().to_str().unwrap();
    let script = blocks(&read("README.md"), "sh tested").concat().replace(TRIAL, trial);
    assert!(script.contains("init --sign"), "the blocks that are tested are not the ones that were meant");
    let program = Path::new(env!("CARGO_BIN_EXE_countersign")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", &script])
        .current_dir(root())
        .env("PATH", path)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(out.contains("no errors, 0 warnings"), "{out}");
    assert!(out.ends_with("every founder has signed; `countersign up` starts it\n"), "{out}");
}

#[test]
fn the_readme_names_every_verb_and_no_other() {
    assert_eq!(first_column(&read("README.md"), "| verb | what it does |"), verbs());
}

#[test]
fn every_command_in_the_documents_is_one() {
    let verbs = verbs();
    for document in [
        "README.md",
        "docs/founding.md",
        "docs/charter.md",
        "docs/bundle.md",
        "docs/duties.md",
        "docs/manifest.md",
        "docs/operating.md",
        "docs/alarms.md",
        "docs/values.md",
        "docs/auditing.md",
        "docs/performance.md",
        "CHANGELOG.md",
        "ARCHITECTURE.md",
    ] {
        for after in read(document).split("countersign ").skip(1) {
            // `countersign --dir DIR verb`, or `countersign verb`; prose about the crate has neither.
            let mut words = after
                .split(|c: char| c.is_whitespace() || c == '`')
                .skip_while(|word| *word == "--dir" || word.contains("state"));
            let word = words.next().unwrap_or_default();
            let is_word = !word.is_empty() && word.bytes().all(|b| b.is_ascii_lowercase());
            if is_word && after.starts_with(|c: char| c == '-' || c.is_ascii_lowercase()) {
                assert!(verbs.contains(word), "{document}: `countersign {word}` is no verb");
            }
        }
    }
}

#[test]
fn every_verb_has_help_and_takes_the_common_flags() {
    for verb in verbs() {
        let help = countersign(&[&verb, "--help"]);
        assert!(help.contains("Usage: countersign"), "{verb}: {help}");
        for flag in ["--dir <", "--server <", "--key <", "--format <"] {
            assert!(help.contains(flag), "`{verb}` does not take {flag}…>: {help}");
        }
    }
}

#[test]
fn the_manifests_of_the_documents_hold_up() {
    let manifests = blocks(&read("docs/manifest.md"), "toml manifest");
    assert_eq!(manifests.len(), 1);
    for text in &manifests {
        let parsed = model::manifest::Manifest::parse(text).unwrap_or_else(|error| panic!("{:#?}", error.findings));
        assert!(parsed.warnings.is_empty(), "{:#?}", parsed.warnings);
    }
}

#[test]
fn the_founding_file_of_the_documents_is_the_one_that_init_prints() {
    assert_eq!(blocks(&read("docs/founding.md"), "toml founding"), [countersign(&["init", "--example"])]);
}

/// A row of a table of limits.
fn row(what: &str, range: &RangeInclusive<u32>, default: u32) -> String {
    format!("| {what} | {} to {} | {default}", range.start(), range.end())
}

#[test]
fn the_limits_of_the_documents_are_those_of_the_code() {
    let manifest = read("docs/manifest.md");
    let readme = read("README.md");
    let rows = [
        ("`limits.memory_mib`", Some("memory of an instance, MiB"), limits::MEMORY_MIB, limits::MEMORY_MIB_DEFAULT),
        (
            "`limits.cpu_percent`",
            Some("CPU of an instance, percent of one core"),
            limits::CPU_PERCENT,
            limits::CPU_PERCENT_DEFAULT,
        ),
        ("`limits.pids`", Some("processes and threads of an instance"), limits::PIDS, limits::PIDS_DEFAULT),
        ("`limits.tmp_mib`", None, limits::TMP_MIB, limits::TMP_MIB_DEFAULT),
        ("`limits.stop_timeout_ms`", None, limits::STOP_TIMEOUT_MS, limits::STOP_TIMEOUT_MS_DEFAULT),
        ("`health.interval_ms`", None, limits::HEALTH_INTERVAL_MS, limits::HEALTH_INTERVAL_MS_DEFAULT),
        ("`health.timeout_ms`", None, limits::HEALTH_TIMEOUT_MS, limits::HEALTH_TIMEOUT_MS_DEFAULT),
        (
            "`health.deadline_ms`",
            Some("from start to well, ms"),
            limits::HEALTH_DEADLINE_MS,
            limits::HEALTH_DEADLINE_MS_DEFAULT,
        ),
        ("`builds.timeout_s`", Some("one build, s"), limits::BUILD_TIMEOUT_S, limits::BUILD_TIMEOUT_S_DEFAULT),
        ("`suites.timeout_s`", Some("one run of a suite, s"), limits::SUITE_TIMEOUT_S, limits::SUITE_TIMEOUT_S_DEFAULT),
        ("`watch_s`", Some("watch after the switch, s"), limits::WATCH_S, limits::WATCH_S_DEFAULT),
        ("`error_min_requests`", None, limits::ERROR_MIN_REQUESTS, limits::ERROR_MIN_REQUESTS_DEFAULT),
        ("`drain_s`", Some("drain of the old version, s"), limits::DRAIN_S, limits::DRAIN_S_DEFAULT),
        ("`hold_ms`", Some("requests held at a hand-over, ms"), limits::HOLD_MS, limits::HOLD_MS_DEFAULT),
        ("`replicas`", Some("instances of a component"), limits::REPLICAS, 1),
    ];
    for (key, in_readme, range, default) in &rows {
        let wanted = row(key, range, *default);
        assert!(manifest.contains(&wanted), "docs/manifest.md has no row `{wanted}`");
        if let Some(what) = in_readme {
            let wanted = row(what, range, *default);
            assert!(readme.contains(&wanted), "README.md has no row `{wanted}`");
        }
    }
    let counts = [
        ("| the manifest, bytes | ", limits::TEXT_BYTES),
        ("| `zones` | ", limits::ZONES),
        ("| `flows` | ", limits::FLOWS),
        ("| instances in a zone | ", limits::ZONE_INSTANCES as usize),
        ("| `builds`, `components`, `suites`, `environments` | ", limits::ENTRIES),
    ];
    for (start, count) in counts {
        assert!(manifest.contains(&format!("{start}{count} ")), "docs/manifest.md has no row `{start}{count}`");
    }
    let others = [
        ("commits in a change", gate::CHANGE_COMMITS),
        ("bytes of a statement in the log", ledger::dsse::ENTRY_LIMIT_BYTES),
        ("instances in a zone", limits::ZONE_INSTANCES as usize),
        ("bytes of a request through the edge", usize::try_from(edge::Limits::default().max_body_bytes).unwrap()),
        ("requests that wait at the edge at once", usize::try_from(edge::Limits::default().max_held).unwrap()),
    ];
    for (what, count) in others {
        assert!(readme.contains(&format!("| {what} | {count} |")), "README.md has no row `{what}` with {count}");
    }
}
