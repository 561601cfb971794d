//! What good manifests become.

use std::collections::BTreeMap;

use crate::{
    ComponentName, Digest, Serial,
    manifest::{FetchTool, Manifest, Parsed, Source, SuiteKind, SuiteTarget, diagnostic::render_all, limits},
    release::{Flow, Origin, Release, Worse},
    route::Identity,
};

pub(super) const PAYDESK: &str = include_str!("paydesk.toml");

/// The least that can be released.
pub(super) const SMALL: &str = r#"system = "shop"

[components.web]
image = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
port = 8080
health = "/health"
zone = "front"
limits = {}

[zones.front]

[[flows]]
from = "edge"
to = "web"

[suites.end-to-end]
kind = "full"
on = "containers"
run = ["/usr/bin/python3", "e2e/run.py"]
report = "e2e.xml"
paths = ["e2e"]

[environments.production]
strategy = "blue-green"
expose = { web = "127.0.0.1:8088" }
"#;

fn parsed(text: &str) -> Parsed {
    Manifest::parse(text).unwrap_or_else(|e| panic!("{}", render_all(&e.findings, "countersign.toml", text)))
}

#[test]
fn the_example_is_read_whole() {
    let Parsed { manifest, warnings } = parsed(PAYDESK);
    assert_eq!(manifest.system.as_str(), "paydesk");
    assert_eq!(manifest.components.len(), 3);
    let web = &manifest.components[&"web".parse().unwrap()];
    assert_eq!((web.port, web.replicas, web.limits.memory_mib, web.limits.tmp_mib), (8080, 2, 64, 32));
    assert_eq!(web.health.path.as_deref(), Some("/health"));
    let Source::Build { build, files } = &web.source else { panic!("web is built") };
    assert_eq!((build.as_str(), files["/bin/web"].as_str()), ("rust", "target/debug/paydesk-web"));
    let ledger = &manifest.components[&"ledger".parse().unwrap()];
    assert!(ledger.is_exclusive());
    assert_eq!((ledger.health.interval_ms, ledger.health.deadline_ms), (200, 10_000));
    assert_eq!(ledger.migrations.len(), 1);
    let payments = &manifest.components[&"payments".parse().unwrap()];
    assert_eq!(payments.secrets["PAYDESK_TOKEN_FILE"].as_str(), "paydesk-token");
    assert_eq!(payments.limits.memory_mib, limits::MEMORY_MIB_DEFAULT);
    let build = manifest.builds.values().next().unwrap();
    assert_eq!(
        (build.fetch, build.registries.first().unwrap().to_string().as_str()),
        (Some(FetchTool::Cargo), "127.0.0.1:8790")
    );
    assert!(manifest.flows.contains(&Flow { from: Origin::Edge, to: "web".parse().unwrap() }));
    let e2e = &manifest.suites[&"end-to-end".parse().unwrap()];
    assert_eq!((e2e.kind, e2e.on, e2e.timeout_s), (SuiteKind::Full, SuiteTarget::Containers, 120));
    let production = manifest.environments.values().next().unwrap();
    assert_eq!((production.error_limit_bp, production.hold_ms, production.watch_s), (100, 10_000, 8));
    insta::assert_snapshot!(render_all(&warnings, "countersign.toml", PAYDESK));
}

/// The manifests that users start from.
#[test]
fn the_examples_of_the_repository_are_right() {
    let examples = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
    let mut read = 0;
    for example in std::fs::read_dir(examples).unwrap() {
        let path = example.unwrap().path().join(crate::manifest::FILE_NAME);
        if path.is_file() {
            let text = std::fs::read_to_string(&path).unwrap();
            let Parsed { warnings, .. } = parsed(&text);
            assert_eq!(warnings, [], "{}", path.display());
            read += 1;
        }
    }
    assert!(read >= 2, "there are at least two examples");
}

#[test]
fn a_canary_is_read_whole() {
    let canary = "strategy = \"canary\"\nanalysis.steps = [1, 10, 50]\nanalysis.identity = [\"certificate\", \"cookie\"]\n\
        analysis.token = { header = \"Authorization\", keys = \"tokens.json\", claim = \"sub\" }\n\
        analysis.cohort = { alone_s = 5, named = [\"token:ada\"], claims = { groups = \"staff\" } }\n\
        analysis.margins = { error_added_ppm = 100, slower = { p99_percent = 20 } }";
    let Parsed { manifest, warnings } = parsed(&SMALL.replace("strategy = \"blue-green\"", canary));
    assert_eq!(warnings, []);
    let analysis = manifest.environments.values().next().unwrap().analysis.as_ref().unwrap();
    assert_eq!((analysis.steps.as_slice(), analysis.step_s, analysis.keep_percent), ([1, 10, 50].as_slice(), 60, 5));
    let [Identity::Token { header, .. }, Identity::Certificate, Identity::Cookie { .. }] = &*analysis.identity else {
        panic!("{:?}", analysis.identity)
    };
    assert_eq!(header, "authorization");
    let cohort = analysis.cohort.as_ref().unwrap();
    assert_eq!((cohort.alone_s, cohort.rules().len()), (5, 2));
    let margins = analysis.margins;
    assert_eq!((margins.error_ratio_percent, margins.error_added_ppm), (125, 100));
    assert_eq!((margins.slower.p50_percent, margins.slower.p99_percent), (None, Some(20)));
}

#[test]
fn counters_and_invariants_are_read_with_their_defaults() {
    let manifest = parsed(&format!(
        "{SMALL}analysis.keep_percent = 10\n\
         [[environments.production.analysis.counters]]\ncomponent = \"web\"\nof = \"payments_total\"\nworse = \"more\"\n\
         name = 'payments_total{{result=\"rejected\"}}'\n\
         [[environments.production.analysis.invariants]]\ncomponent = \"web\"\nname = \"imbalance_cents\"\nequals = -3\n\
         path = \"/money\"\n"
    ))
    .manifest;
    let analysis = manifest.environments.values().next().unwrap().analysis.as_ref().unwrap();
    let readings = analysis.readings.as_ref().unwrap();
    assert_eq!(readings.unreadable_s, 15);
    let [counter] = &*readings.counters else { panic!("{readings:?}") };
    assert_eq!((counter.path.as_str(), counter.worse), ("/metrics", Worse::More));
    assert_eq!(counter.name.to_string(), "payments_total{result=\"rejected\"}");
    assert_eq!((counter.ratio_percent, counter.added_ppm), (125, 1_000));
    assert_eq!((counter.promote_ratio_percent, counter.promote_added_ppm), (200, 10_000));
    let [invariant] = &*readings.invariants else { panic!("{readings:?}") };
    assert_eq!((invariant.path.as_str(), invariant.equals), ("/money", -3));
}

#[test]
fn a_counter_of_an_exclusive_component_is_refused() {
    let text = PAYDESK.replace(
        "[environments.production]",
        "[[environments.production.analysis.counters]]\ncomponent = \"ledger\"\nname = \"a_total\"\nof = \"b_total\"\n\
         worse = \"more\"\n\n[environments.production]",
    );
    let refused = Manifest::parse(&text).unwrap_err();
    let said = render_all(&refused.findings, "countersign.toml", &text);
    assert!(said.contains("two versions of it never run side by side to compare `a_total`"), "{said}");
}

#[test]
fn blue_green_with_an_analysis_keeps_a_share_to_compare_with() {
    let Parsed { manifest, .. } =
        parsed(&SMALL.replace("strategy = \"blue-green\"", "strategy = \"blue-green\"\nanalysis.keep_percent = 20"));
    assert_eq!(manifest.environments.values().next().unwrap().analysis.as_ref().unwrap().steps, [80]);
}

#[test]
fn what_is_done_in_a_surge_is_read_and_goes_into_the_release() {
    let surge = r#"
[environments.production.surge.web]
classes = [
    { name = "settlement", paths = ["/settlements"], methods = ["POST"] },
    { name = "orders", paths = ["/orders", "/v2/orders"] },
]
queue_ms = 250
client = { per_s = 50, burst = 200 }
total = { per_s = 2000 }
client_connections = 64
"#;
    let Parsed { manifest, warnings } = parsed(&format!("{SMALL}{surge}"));
    assert_eq!(warnings, []);
    let environment = manifest.environments.values().next().unwrap();
    let surge = environment.surge.values().next().unwrap();
    assert_eq!(surge.classes.iter().map(|c| c.name.as_str()).collect::<Vec<_>>(), ["settlement", "orders"]);
    assert_eq!(surge.queue_ms, 250);
    assert_eq!(surge.total.unwrap().burst, 2000, "a second's worth if it is not said");
    assert_eq!((surge.client_connections, surge.connections), (Some(64), None));

    // A release without it has the bytes that it had before there was any.
    let serial = serial("shop");
    let commit = "0123456789012345678901234567890123456789".parse::<crate::Commit>().unwrap();
    let images = images(&[]);
    let with = manifest.compose(serial.clone(), commit, &images).unwrap().to_bytes().unwrap();
    let without = parsed(SMALL).manifest.compose(serial, commit, &images).unwrap().to_bytes().unwrap();
    assert!(String::from_utf8(with.clone()).unwrap().contains("\"surge\":{\"web\":"));
    assert!(!String::from_utf8(without).unwrap().contains("surge"));
    let read = crate::release::Release::from_bytes(&with).unwrap();
    assert_eq!(read.environments[0].surge, environment.surge);
}

#[test]
fn what_a_newer_release_does_is_read_and_written_only_where_it_is_chosen() {
    let serial = serial("shop");
    let commit = "0123456789012345678901234567890123456789".parse::<crate::Commit>().unwrap();
    let bytes = |text: &str| {
        let release = parsed(text).manifest.compose(serial.clone(), commit, &images(&[])).unwrap();
        String::from_utf8(release.to_bytes().unwrap()).unwrap()
    };
    let with =
        |word: &str| SMALL.replace("strategy = \"blue-green\"", &format!("strategy = \"blue-green\"\nnewer = {word}"));
    for word in ["waits", "replaces"] {
        let written = bytes(&with(&format!("\"{word}\"")));
        assert!(written.contains(&format!("\"newer\":\"{word}\"")), "{written}");
        let read = crate::release::Release::from_bytes(written.as_bytes()).unwrap();
        assert!(!read.environments[0].newer.is_usual());
    }
    // A release that chooses nothing has the bytes that it had before there was a choice.
    assert!(!bytes(SMALL).contains("newer"));
    assert_eq!(bytes(&with("\"usual\"")), bytes(SMALL));
    for (word, hint) in [("\"overtakes\"", "replaces"), ("true", "put it in quotes")] {
        let error = Manifest::parse(&with(word)).unwrap_err();
        let said = error.findings.iter().map(|f| format!("{f:?}")).collect::<String>();
        assert!(said.contains("newer") && said.contains(hint), "{said}");
    }
}

#[test]
fn each_mistake_about_a_surge_is_named() {
    for (line, said) in [
        ("surge.web.classes = [{ name = \"a\" }]", "does not say which requests are of it"),
        ("surge.web.classes = [{ name = \"other\", paths = [\"/\"] }]", "what matches no class"),
        ("surge.web.classes = [{ name = \"A B\", paths = [\"/\"] }]", "is not the name of a class"),
        ("surge.web.classes = [{ name = \"a\", paths = [\"/a/../b\"] }]", "is not a plain path"),
        ("surge.web.classes = [{ name = \"a\", paths = [\"/%61\"] }]", "is not a plain path"),
        ("surge.web.classes = [{ name = \"a\", methods = [\"post\"] }]", "write it in upper case"),
        (
            "surge.web.classes = [{ name = \"a\", paths = [\"/a\"] }, { name = \"a\", paths = [\"/b\"] }]",
            "stands here twice",
        ),
        (
            "surge.web.classes = [{ name = \"a\", header = { name = \"X-Desk\", value = \"b\" } }]",
            "write it in lower case",
        ),
        ("surge.web.queue_ms = 0", "out of its range"),
        ("surge.web.client = { burst = 4 }", "per_s"),
        ("surge.web = { client_connections = 5, connections = 4 }", "keep everybody else out"),
        ("surge.elsewhere.queue_ms = 5", "is not exposed here"),
        ("surge.web.quue_ms = 5", "queue_ms"),
    ] {
        let text = SMALL.replace("strategy = \"blue-green\"", &format!("strategy = \"blue-green\"\n{line}"));
        let refused = Manifest::parse(&text).unwrap_err();
        let shown = render_all(&refused.findings, "countersign.toml", &text);
        assert!(shown.contains(said), "{line}: {shown}");
    }
    let tcp = SMALL.replace(
        "expose = { web = \"127.0.0.1:8088\" }",
        "expose.web = { listen = \"127.0.0.1:8088\", protocol = \"tcp\" }\nsurge.web.client = { per_s = 5 }",
    );
    let refused = Manifest::parse(&tcp).unwrap_err();
    assert!(refused.errors().any(|d| d.message.contains("speak plain TCP")), "{refused:?}");
    let header = SMALL.replace("strategy = \"blue-green\"", "strategy = \"blue-green\"\nsurge.web.classes = [{ name = \"a\", header = { name = \"x-desk\", value = \"b\" } }]");
    assert!(parsed(&header).warnings.iter().any(|d| d.message.contains("any client can send this field")));
}

#[test]
fn the_smallest_has_no_warnings() {
    let Parsed { manifest, warnings } = parsed(SMALL);
    assert_eq!(warnings, []);
    assert!(!manifest.has_exclusive_component());
}

#[test]
fn the_way_of_writing_makes_no_difference() {
    let inline = SMALL
        .replace("[[flows]]\nfrom = \"edge\"\nto = \"web\"\n", "")
        .replace("system = \"shop\"\n", "system = \"shop\"\nflows = [{ from = \"edge\", to = \"web\" }]\n");
    let dotted = SMALL.replace("expose = { web = \"127.0.0.1:8088\" }", "expose.web = \"127.0.0.1:8088\"");
    let windows = SMALL.replace('\n', "\r\n");
    let marked = format!("\u{feff}{SMALL}");
    let expected = parsed(SMALL).manifest;
    for text in [&inline, &dotted, &windows, &marked] {
        assert_eq!(parsed(text).manifest, expected, "{text}");
    }
}

fn images(digits: &[(&str, &str)]) -> BTreeMap<ComponentName, Digest> {
    digits.iter().map(|(name, digit)| (name.parse().unwrap(), Digest::from_hex(&digit.repeat(64)).unwrap())).collect()
}

fn serial(system: &str) -> Serial {
    Serial::new(system.parse().unwrap(), 42)
}

#[test]
fn a_release_is_composed_the_same_way_each_time() {
    let manifest = parsed(PAYDESK).manifest;
    let commit = "ab".repeat(20).parse().unwrap();
    let built = images(&[("web", "1"), ("payments", "2"), ("ledger", "3")]);
    let release = manifest.compose(serial("paydesk"), commit, &built).unwrap();
    assert_eq!(release, manifest.compose(serial("paydesk"), commit, &built).unwrap());
    let bytes = release.to_bytes().unwrap();
    assert_eq!(Release::from_bytes(&bytes).unwrap(), release);
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
}

#[test]
fn what_does_not_fit_makes_no_release() {
    let manifest = parsed(PAYDESK).manifest;
    let commit = "ab".repeat(20).parse().unwrap();
    let missing = manifest.compose(serial("paydesk"), commit, &images(&[("web", "1"), ("payments", "2")])).unwrap_err();
    assert_eq!(missing.to_string(), "the component `ledger` has no image; it was not built");
    let foreign = manifest.compose(serial("paydesk"), commit, &images(&[("wbe", "1")])).unwrap_err();
    assert_eq!(foreign.to_string(), "there is an image for `wbe`, which the manifest does not have");
    let other = manifest.compose(serial("shop"), commit, &BTreeMap::new()).unwrap_err();
    assert_eq!(other.to_string(), "the serial `shop-000042` is not of the system `paydesk`");

    let fixed = parsed(SMALL).manifest;
    assert!(fixed.compose(serial("shop"), commit, &BTreeMap::new()).is_ok());
    assert!(fixed.compose(serial("shop"), commit, &images(&[("web", "a")])).is_ok());
    let moved = fixed.compose(serial("shop"), commit, &images(&[("web", "b")])).unwrap_err().to_string();
    assert!(moved.starts_with("the component `web` is fixed to `sha256:aaaa"), "{moved}");
}

#[test]
fn a_report_is_looked_for_where_the_manifest_says() {
    let at = |report: &str| {
        let manifest = parsed(&PAYDESK.replace("report = \"e2e.xml\"", &format!("report = {report:?}"))).manifest;
        manifest.suites[&"end-to-end".parse().unwrap()].clone()
    };
    let one = at("out/e2e.xml");
    assert_eq!((one.report_place().folder(), one.report_place().is_pattern()), ("out", false));
    assert!(one.report_place().takes("e2e.xml") && !one.report_place().takes("e2e.xml.old"));
    let many = at("target/surefire-reports/TEST-*.xml");
    assert_eq!((many.report_place().folder(), many.report_place().is_pattern()), ("target/surefire-reports", true));
    for (name, taken) in
        [("TEST-a.B.xml", true), ("TEST-.xml", true), ("TEST-.xm", false), ("a.xml", false), ("TEST-a.txt", false)]
    {
        assert_eq!(many.report_place().takes(name), taken, "{name}");
    }
    assert_eq!(at("*").report_place().folder(), "");
}

/// Golden bytes: the wire form of a definition, and with it its digest, never changes.
#[test]
fn the_definition_of_a_suite_is_frozen() {
    let manifest = parsed(PAYDESK).manifest;
    let unit = &manifest.suites[&"unit".parse().unwrap()];
    assert_eq!(
        String::from_utf8(unit.to_bytes().unwrap()).unwrap(),
        r#"{"suite":"unit","kind":"smoke","on":"source","build":"rust","run":["cargo","nextest","run","--offline","--locked","--workspace","--profile","countersign"],"report":"target/nextest/countersign/junit.xml","requirements":["PAY-1"],"paths":["crates"],"timeout_s":600,"environment":{}}"#
    );
    let digest = unit.digest().unwrap();
    assert_eq!(digest, Digest::of(&unit.to_bytes().unwrap()));
    let spaced = parsed(&PAYDESK.replace("kind = \"smoke\" ", "kind    =   \"smoke\"")).manifest;
    assert_eq!(spaced.suites[&"unit".parse().unwrap()].digest().unwrap(), digest);
    let longer = parsed(&PAYDESK.replace("timeout_s = 120", "timeout_s = 121")).manifest;
    let name = "end-to-end".parse().unwrap();
    assert_ne!(longer.suites[&name].digest().unwrap(), manifest.suites[&name].digest().unwrap());
}
