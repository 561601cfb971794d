//! What is said about manifests that are wrong; the words are in one snapshot, so that every change of them is seen.

use crate::manifest::{Diagnostic, Manifest, Severity, diagnostic::render_all};

use super::good::{PAYDESK, SMALL};

/// Replaces once, and fails if there was nothing to replace.
fn with(base: &str, old: &str, new: &str) -> String {
    assert!(base.contains(old), "{old}");
    base.replacen(old, new, 1)
}

fn said(text: &str) -> String {
    let error = Manifest::parse(text).expect_err("the manifest should be refused");
    assert!(error.errors().count() > 0);
    for finding in &error.findings {
        assert!(finding.line >= 1 && finding.column >= 1);
        assert!(!finding.hint.is_empty() || finding.severity == Severity::Error);
    }
    let errors: Vec<Diagnostic> = error.errors().cloned().collect();
    render_all(&errors, "countersign.toml", text)
}

const IMAGE: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// What is wrong, the manifest that it is made wrong in, what is replaced, and by what.
const MISTAKES: &[(&str, &str, &str, &str)] = &[
    ("a key is misspelt", SMALL, "health =", "heatlh ="),
    ("a key is foreign", SMALL, "port = 8080", "port = 8080\ncolour = \"blue\""),
    ("a section is misspelt", SMALL, "[environments.production]", "[environment.production]"),
    ("not toml", SMALL, "port = 8080", "port = = 8080"),
    ("a key twice", SMALL, "port = 8080", "port = 8080\nport = 8081"),
    ("no system", SMALL, "system = \"shop\"", ""),
    ("a system in capitals", SMALL, "\"shop\"", "\"Shop\""),
    ("a port as text", SMALL, "port = 8080", "port = \"8080\""),
    ("a port out of range", SMALL, "port = 8080", "port = 80800"),
    ("no port", SMALL, "port = 8080\n", ""),
    ("an image by tag", SMALL, IMAGE, "nginx:1.27"),
    (
        "an image by name and digest",
        SMALL,
        IMAGE,
        "docker.io/nginx@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    ),
    ("an image by half a digest", SMALL, IMAGE, "sha256:AAAA"),
    (
        "neither build nor image",
        SMALL,
        "image = \"sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"",
        "",
    ),
    (
        "both build and image",
        PAYDESK,
        "build = \"rust\"\nfiles = { \"/bin/ledger\"",
        "image = \"sha256:00\"\nbuild = \"rust\"\nfiles = { \"/bin/ledger\"",
    ),
    ("a build that is not there", PAYDESK, "build = \"rust\"", "build = \"rusty\""),
    ("a zone that is not there", PAYDESK, "zone = \"front\"", "zone = \"frnt\""),
    ("a flow to nobody", PAYDESK, "to = \"ledger\"", "to = \"leger\""),
    ("a flow into the edge", SMALL, "from = \"edge\"\nto = \"web\"", "from = \"web\"\nto = \"edge\""),
    ("a flow to itself", SMALL, "from = \"edge\"", "from = \"web\""),
    (
        "a flow twice",
        PAYDESK,
        "[[flows]]\nfrom = \"payments\"",
        "[[flows]]\nfrom = \"web\"\nto = \"payments\"\n\n[[flows]]\nfrom = \"payments\"",
    ),
    ("exposed without a flow", SMALL, "[[flows]]\nfrom = \"edge\"\nto = \"web\"\n", ""),
    (
        "exposed but not there",
        SMALL,
        "{ web = \"127.0.0.1:8088\" }",
        "{ web = \"127.0.0.1:8088\", wbe = \"127.0.0.1:8089\" }",
    ),
    (
        "exposed twice at one place",
        PAYDESK,
        "expose = { web = \"127.0.0.1:8088\" }",
        "expose = { web = \"127.0.0.1:8088\", payments = \"0.0.0.0:8088\" }",
    ),
    ("exposed by a name", SMALL, "127.0.0.1:8088", "localhost:8088"),
    ("two writers", PAYDESK, "volumes = {", "replicas = 2\nvolumes = {"),
    (
        "two writers by default",
        PAYDESK,
        "volumes = { data = { path = \"/data\", exclusive = true } }",
        "replicas = 2\nvolumes = { data = { path = \"/data\" } }",
    ),
    ("a volume in proc", PAYDESK, "path = \"/data\"", "path = \"/proc/data\""),
    ("a volume that is relative", PAYDESK, "path = \"/data\"", "path = \"data\""),
    ("a volume with dots", PAYDESK, "path = \"/data\"", "path = \"/data/../etc\""),
    ("volumes that overlap", PAYDESK, "exclusive = true } }", "exclusive = true }, more = { path = \"/data/more\" } }"),
    ("a volume that hides a file", PAYDESK, "path = \"/data\"", "path = \"/bin\""),
    ("a health check by url", SMALL, "\"/health\"", "\"http://web/health\""),
    (
        "a health check that can not end",
        SMALL,
        "health = \"/health\"",
        "health = { path = \"/health\", timeout_ms = 5000, deadline_ms = 1000 }",
    ),
    ("a file from outside", PAYDESK, "\"target/debug/paydesk-web\"", "\"../paydesk-web\""),
    ("a file from the machine", PAYDESK, "\"target/debug/paydesk-web\"", "\"/usr/bin/env\""),
    ("a file to a relative place", PAYDESK, "\"/bin/web\" =", "\"bin/web\" ="),
    ("a command for a shell", PAYDESK, "command = [\"/bin/web\"]", "command = \"/bin/web --port 8080\""),
    ("a command that is searched", PAYDESK, "command = [\"/bin/web\"]", "command = [\"web\"]"),
    ("nothing to run", PAYDESK, "command = [\"/bin/web\"]\n", ""),
    ("a reserved variable", PAYDESK, "PAYDESK_CURRENCY =", "COUNTERSIGN_SERIAL ="),
    ("a variable that is the port", PAYDESK, "PAYDESK_CURRENCY =", "PORT ="),
    ("a variable with a hyphen", PAYDESK, "PAYDESK_CURRENCY =", "PAYDESK-CURRENCY ="),
    ("a number as a variable", PAYDESK, "\"EUR\"", "7"),
    ("a secret instead of its name", PAYDESK, "\"paydesk-token\"", "\"Zq81xkPw0mVt33ySaLrT\""),
    ("a random secret that looks like a name", PAYDESK, "\"paydesk-token\"", "\"a81bkc0w0mvt33ysalrt7\""),
    (
        "a private key in a variable",
        PAYDESK,
        "\"EUR\"",
        "\"\"\"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAA\n\"\"\"",
    ),
    ("a password in an address", PAYDESK, "\"EUR\"", "\"postgres://desk:hunter2@db/pay\""),
    ("a token in a command", PAYDESK, "\"--offline\"", "\"--token=ghp_0123456789abcdefghijklmnop\""),
    ("a registry by url", PAYDESK, "127.0.0.1:8790", "https://index.crates.io/"),
    ("a registry without a port", PAYDESK, "127.0.0.1:8790", "index.crates.io"),
    ("a fetch with nowhere to go", PAYDESK, "registries = [\"127.0.0.1:8790\"]", ""),
    ("registries without a fetch", PAYDESK, "fetch = \"cargo\"", ""),
    ("a fetch tool that is unknown", PAYDESK, "fetch = \"cargo\"", "fetch = \"Cargo\""),
    ("a fetch tool that nobody has", PAYDESK, "fetch = \"cargo\"", "fetch = \"maven\""),
    ("a contract that is reversible", PAYDESK, "phase = \"expand\"", "phase = \"contract\""),
    (
        "a migration twice",
        PAYDESK,
        "reversible = true }]",
        "reversible = true }, { id = \"0002-reference\", phase = \"contract\", reversible = false }]",
    ),
    ("a migration that says half", PAYDESK, ", reversible = true }]", " }]"),
    ("a suite of no kind", PAYDESK, "kind = \"full\"", "kind = \"complete\""),
    ("a suite on a slip", PAYDESK, "on = \"containers\"", "on = \"container\""),
    ("no full suite", PAYDESK, "kind = \"full\"", "kind = \"smoke\""),
    ("a suite without paths", PAYDESK, "paths = [\"e2e\"]", "paths = []"),
    ("a requirement in small letters", PAYDESK, "\"PAY-2\", \"PAY-3\"", "\"pay-2\""),
    ("a requirement twice", PAYDESK, "\"PAY-2\", \"PAY-3\"", "\"PAY-2\", \"PAY-2\""),
    ("a report outside", PAYDESK, "report = \"e2e.xml\"", "report = \"/tmp/e2e.xml\""),
    ("a report that could be anything", PAYDESK, "report = \"e2e.xml\"", "report = \"**/*.xml\""),
    ("a report in any folder", PAYDESK, "report = \"e2e.xml\"", "report = \"target/*/junit.xml\""),
    ("a timeout of a week", PAYDESK, "timeout_s = 120", "timeout_s = 604800"),
    ("a strategy that is unknown", SMALL, "blue-green", "bluegreen"),
    ("no watch", SMALL, "strategy = \"blue-green\"", "strategy = \"blue-green\"\nwatch_s = 0"),
    (
        "an error limit without meaning",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"blue-green\"\nerror_limit_percent = 100",
    ),
    (
        "an error limit with a sign",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"blue-green\"\nerror_limit_percent = \"1%\"",
    ),
    (
        "an error limit too fine",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"blue-green\"\nerror_limit_percent = 0.001",
    ),
    ("a canary without steps", SMALL, "strategy = \"blue-green\"", "strategy = \"canary\""),
    (
        "blue-green with steps",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"blue-green\"\nanalysis = { steps = [5] }",
    ),
    ("steps that shrink", SMALL, "strategy = \"blue-green\"", "strategy = \"canary\"\nanalysis = { steps = [5, 5] }"),
    ("a step for all", SMALL, "strategy = \"blue-green\"", "strategy = \"canary\"\nanalysis = { steps = [5, 99] }"),
    ("no steps at all", SMALL, "strategy = \"blue-green\"", "strategy = \"canary\"\nanalysis = { steps = [] }"),
    (
        "a cohort of nobody",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], cohort = {} }",
    ),
    (
        "a cohort that nobody vouches for",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], cohort = { claims = { groups = \"staff\" } } }",
    ),
    (
        "a cohort by name alone",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], cohort = { named = [\"ada\"] } }",
    ),
    (
        "keys of tokens from elsewhere",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], token = { header = \"authorization\", keys = \"../keys/gate.key\", claim = \"sub\" } }",
    ),
    (
        "an identity that anybody can write",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], identity = [\"header\"] }",
    ),
    (
        "margins with nothing between",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"canary\"\nanalysis = { steps = [5], margins = { error_ratio_percent = 300 } }",
    ),
    (
        "a counter of nobody knows how many",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.counters]]\ncomponent = \"web\"\nname = \"rejected_total\"\nworse = \"more\"",
    ),
    (
        "a counter that is all of itself",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.counters]]\ncomponent = \"web\"\nname = \"a_total\"\nof = \"a_total\"\nworse = \"more\"",
    ),
    (
        "a counter of no component, with no series",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.counters]]\ncomponent = \"wep\"\nname = \"a{\"\nof = \"b_total\"\nworse = \"lots\"",
    ),
    (
        "a counter with nothing between its margins",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.counters]]\ncomponent = \"web\"\nname = \"a_total\"\nof = \"b_total\"\nworse = \"more\"\npromote_ratio_percent = 100",
    ),
    (
        "an invariant without its value",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.invariants]]\ncomponent = \"web\"\nname = \"imbalance\"\npath = \"metrics\"",
    ),
    (
        "an invariant that no metric can say",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.invariants]]\ncomponent = \"web\"\nname = \"imbalance\"\nequals = 9007199254740993",
    ),
    (
        "one figure asked for twice",
        SMALL,
        "expose = { web = \"127.0.0.1:8088\" }",
        "analysis.keep_percent = 5\n[[environments.production.analysis.invariants]]\ncomponent = \"web\"\nname = \"imbalance\"\nequals = 0\n[[environments.production.analysis.invariants]]\ncomponent = \"web\"\npath = \"/more\"\nname = \"imbalance\"\nequals = 1",
    ),
    (
        "nothing that could be unreadable",
        SMALL,
        "strategy = \"blue-green\"",
        "strategy = \"blue-green\"\nanalysis.unreadable_s = 5",
    ),
    ("draining without a way to tell", SMALL, "port = 8080", "port = 8080\ndrain = {}"),
    ("a signal that stops", SMALL, "port = 8080", "port = 8080\ndrain = { signal = \"SIGTERM\", path = \"drain\" }"),
    ("no approvals", SMALL, "strategy = \"blue-green\"", "strategy = \"blue-green\"\napprovals = 0"),
    ("after itself", SMALL, "strategy = \"blue-green\"", "strategy = \"blue-green\"\nafter = \"production\""),
    ("soak without after", SMALL, "strategy = \"blue-green\"", "strategy = \"blue-green\"\nsoak_s = 60"),
    ("too many replicas", SMALL, "port = 8080", "port = 8080\nreplicas = 65"),
    ("a tmp as large as the memory", SMALL, "limits = {}", "limits = { memory_mib = 64, tmp_mib = 64 }"),
    ("a component called edge", SMALL, "[components.web]", "[components.edge]"),
    ("components as a list", SMALL, "[components.web]", "[[components]]"),
    ("a zone with keys", SMALL, "[zones.front]", "[zones.front]\ncidr = \"10.0.0.0/8\""),
    ("text that reads otherwise", SMALL, "port = 8080", "port = 8080 # \u{202e}tsoh"),
    ("an escape to the terminal", SMALL, "zone = \"front\"", "zone = \"\\u001b[2Jfront\""),
    (
        "many mistakes at once",
        PAYDESK,
        "port = 8080\nhealth = \"/health\"\nzone = \"front\"\nreplicas = 2",
        "prot = 8080\nhealth = \"health\"\nzone = \"back\"\nreplicas = 0",
    ),
];

/// One snapshot of them all, so that the words can be read one beside the other.
#[test]
fn mistakes_are_explained() {
    let all = MISTAKES.iter().map(|(name, base, old, new)| format!("## {name}\n{}", said(&with(base, old, new))));
    insta::assert_snapshot!(all.collect::<Vec<_>>().join("\n"));
}

/// What is taken, but probably not meant.
const DOUBTS: &[(&str, &str, &str, &str)] = &[
    ("no limits", SMALL, "limits = {}", ""),
    ("no health check", SMALL, "health = \"/health\"", ""),
    ("a zone without components", SMALL, "[zones.front]", "[zones.front]\n[zones.back]"),
    ("a build that nothing uses", SMALL, "[zones.front]", "[builds.c]\nrun = [\"make\"]\n\n[zones.front]"),
    ("a flow that leads nowhere", SMALL, "expose = { web = \"127.0.0.1:8088\" }", ""),
    ("a password by its name", SMALL, "port = 8080", "port = 8080\nenvironment = { DB_PASSWORD = \"letmein\" }"),
    ("requests that are not held", SMALL, "port = 8080", "port = 8080\nvolumes.data.path = \"/data\"\nmigrations = []"),
    (
        "migrations without state",
        SMALL,
        "port = 8080",
        "port = 8080\nmigrations = [{ id = \"1\", phase = \"contract\", reversible = false }]",
    ),
    ("a program that is not there", PAYDESK, "command = [\"/bin/web\"]", "command = [\"/bin/wbe\"]"),
    (
        "no environment",
        SMALL,
        "[environments.production]\nstrategy = \"blue-green\"\nexpose = { web = \"127.0.0.1:8088\" }\n",
        "",
    ),
    (
        "two environments at one address",
        SMALL,
        "[environments.production]",
        "[environments.staging]\nstrategy = \"blue-green\"\nexpose = { web = \"0.0.0.0:8088\" }\n\n[environments.production]",
    ),
];

#[test]
fn doubts_are_explained() {
    let all = DOUBTS.iter().map(|(name, base, old, new)| {
        let mut text = with(base, old, new);
        if *name == "requests that are not held" {
            text.push_str("hold_ms = 0\n");
        }
        let warnings = Manifest::parse(&text)
            .unwrap_or_else(|e| panic!("{name}: {}", render_all(&e.findings, "", &text)))
            .warnings;
        assert!(!warnings.is_empty(), "{name}");
        let shown: Vec<Diagnostic> =
            warnings.into_iter().filter(|w| *base == SMALL || !w.message.contains("no limits")).collect();
        format!("## {name}\n{}", render_all(&shown, "countersign.toml", &text))
    });
    insta::assert_snapshot!(all.collect::<Vec<_>>().join("\n"));
}

#[test]
fn a_hand_over_that_can_not_be_done_in_time() {
    let text = with(PAYDESK, "hold_ms = 10000", "hold_ms = 5000");
    let said = said(&text);
    assert!(said.contains("requests are held for 5000 ms, and `ledger` may take 5000 ms to stop"), "{said}");
    assert!(said.contains("make `hold_ms` longer, or `limits.stop_timeout_ms` of `ledger` shorter"), "{said}");
}

#[test]
fn nothing_at_all() {
    insta::assert_snapshot!(said(""));
}

#[test]
fn not_utf8() {
    let mut bytes = SMALL.as_bytes().to_vec();
    bytes.splice(40..41, [0xff]);
    let error = Manifest::parse_bytes(&bytes).unwrap_err();
    let lines: Vec<String> = error.findings.iter().map(ToString::to_string).collect();
    assert_eq!(
        lines,
        ["line 4, column 7: error: the text is not UTF-8 from here on; save the file as UTF-8, as TOML wants it"]
    );
}

#[test]
fn too_large() {
    let text = format!("{SMALL}# {}", "x".repeat(300_000));
    let error = Manifest::parse(&text).unwrap_err();
    assert_eq!(error.findings.len(), 1);
    assert!(error.findings[0].message.contains("the limit is 262144"), "{error:?}");
}

#[test]
fn a_flood_of_mistakes_is_cut() {
    let keys: String = (0..5_000).map(|n| format!("k{n} = 1\n")).collect();
    let error = Manifest::parse(&format!("{keys}{SMALL}")).unwrap_err();
    assert_eq!(error.findings.len(), crate::manifest::limits::FINDINGS);
    assert_eq!(error.to_string(), "the manifest has 50 errors");
}

/// Far above what any of them takes (half a second unoptimised), far below what a cost that grows by the square takes.
const READING_LIMIT_S: u64 = 20;

/// However many mistakes a text has, they are found in reasonable time.
#[test]
fn hostile_texts_are_read_in_time() {
    let keys: String = (0..30_000).map(|n| format!("k{n}=1\n")).collect();
    let flows = "[[flows]]\n".repeat(20_000);
    let dots = format!("{}=1\n", vec!["a"; 79].join("."));
    let zones: String = (0..15_000).map(|n| format!("[zones.z{n}]\n")).collect();
    let list = format!("flows=[{}]", "{from=\"a\"},".repeat(20_000));
    let value = format!("system = \"{}\"", "a".repeat(250_000));
    let line = format!("system = [{}]", "[],".repeat(80_000));
    for text in [keys, flows, dots, zones, list, value, line] {
        let begun = std::time::Instant::now();
        assert!(Manifest::parse(&text).is_err());
        assert!(begun.elapsed().as_secs() < READING_LIMIT_S, "{} took {:?}", &text[..20], begun.elapsed());
    }
}

/// A secret is in the text, and must be in nothing that is said about it.
#[test]
fn secrets_are_not_repeated() {
    for (old, secret) in [
        ("\"paydesk-token\"", "Zq81xkPw0mVt33ySaLrT"),
        ("\"EUR\"", "ghp_0123456789abcdefghijklmnop"),
        ("\"EUR\"", "https://bot:hunter2secret@git.example/"),
        ("\"--offline\"", "sk_live_0123456789abcdefgh"),
        ("\"blue-green\"", "sk_live_0123456789abcdefgh"),
        ("drain_s = 5", "sk_live_0123456789abcdefgh"),
        ("8080", "sk_live_0123456789abcdefgh"),
        ("\"/health\"", "ghp_0123456789abcdefghijklmnop"),
    ] {
        let text = with(PAYDESK, old, &format!("\"{secret}\""));
        let error = Manifest::parse(&text).unwrap_err();
        let shown = render_all(&error.findings, "countersign.toml", &text) + &format!("{error} {:?}", error.findings);
        assert!(!shown.contains(secret), "{shown}");
        assert!(shown.contains("not shown"), "{shown}");
    }
}
