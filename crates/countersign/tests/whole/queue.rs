//! A release that is approved while clients are on another one: it waits, and does not keep the one on its way from going
//! back or from getting live.

use crate::{
    canary::Browsers,
    installation::{Installation, LONG, both},
    wait::wait_for,
};

const ENVIRONMENT: &str = r#"strategy = "canary"
watch_s = 2
drain_s = 1

[environments.production.analysis]
steps = [20, 50]
step_s = 3
keep_percent = 10
identity = ["cookie"]
margins = { promote_added_ppm = 30000, slower = {} }
"#;

/// Both are proposed over what runs; the second is approved when clients are on the first.
fn one_waits_behind_the_other(it: &Installation, first: &str, second: &str, texts: [&str; 3]) {
    for (serial, at) in [(first, 0), (second, 1)] {
        it.replace("web.sh", texts[at], texts[at + 1]);
        it.push(&format!("Release {serial}"));
        it.proposal(serial);
    }
    it.approve(first);
    it.wait_milestone(first, "stepped");
    it.approve(second);
    assert!(!it.milestones(first).iter().any(|what| what == "watched"), "it was live too early\n{}", it.story());
}

#[test]
fn root_a_release_that_waits_keeps_no_other_from_its_end() {
    let it = Installation::start();
    it.write_small(ENVIRONMENT);
    it.release("First release", "visits-000001");

    // The one on its way is rejected: it goes back, and then the one that waited has its turn.
    let browsers = Browsers::start(it.exposed);
    let texts = ["printf x", "# Of two.\nprintf x", "# Of three.\nprintf x"];
    one_waits_behind_the_other(&it, "visits-000002", "visits-000003", texts);
    it.ok_as("dan", &["reject", "visits-000002", "--reason", "found something"]);
    assert!(it.wait_end("visits-000002").starts_with("went-back"), "{}", it.story());
    assert_eq!(it.wait_end("visits-000003"), "live", "{}", it.story());

    // The one on its way gets live: the one that waited was approved to replace something else.
    let texts = ["# Of three.", "# Of four.", "# Of five."];
    one_waits_behind_the_other(&it, "visits-000004", "visits-000005", texts);
    assert_eq!(it.wait_end("visits-000004"), "live", "{}", it.story());
    // The builder proposes it again over what runs now; who approved the first proposal did not approve that.
    let first = it.proposal("visits-000005").to_string();
    let why = |which: &str| both(&it.program(&["why", which]));
    for (which, rule) in [(first.as_str(), "replaces-what-runs"), ("visits-000005", "quorum-has-approved")] {
        let look = || Some(why(which)).filter(|why| why.contains("REFUSED") && why.contains(rule)).map(drop);
        wait_for(&format!("{which} is refused by {rule}"), LONG, || why(which), look);
    }

    // Where the one on its way was approved to make way, it does so also while clients are on it.
    it.replace("countersign.toml", "strategy = \"canary\"\n", "strategy = \"canary\"\nnewer = \"replaces\"\n");
    one_waits_behind_the_other(&it, "visits-000006", "visits-000007", ["# Of five.", "# Of six.", "# Of seven."]);
    assert_eq!(it.wait_end("visits-000006"), "went-back-withdrawn", "{}", it.story());
    assert_eq!(it.wait_end("visits-000007"), "live", "{}", it.story());
    let told = browsers.stop();
    let failed: Vec<_> = told.iter().filter(|(_, status, _)| *status != 200).collect();
    assert!(failed.is_empty(), "{failed:?}");
    let mixed = told.iter().any(|(.., serial)| serial == "visits-000005");
    assert!(!mixed, "clients were on what was never begun");
    assert!(it.milestones("visits-000005").is_empty(), "{}", it.story());
    it.ok(&["audit"]);
}
