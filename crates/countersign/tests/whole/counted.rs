//! What a component counts itself, on a whole installation: a canary that refuses more of what it is asked goes back though
//! every request is answered, one whose figures do not add up goes back at once, and one that says nothing gets no further.

use crate::{canary::Browsers, installation::Installation};

const ENVIRONMENT: &str = r#"strategy = "canary"
watch_s = 2
drain_s = 1

[environments.production.analysis]
steps = [20, 50]
step_s = 2
keep_percent = 10
identity = ["cookie"]
unreadable_s = 4
margins = { promote_added_ppm = 30000, slower = {} }

[[environments.production.analysis.counters]]
component = "web"
path = "/cgi-bin/metrics"
name = "visits_refused_total"
of = "visits_total"
worse = "more"
promote_added_ppm = 100000

[[environments.production.analysis.invariants]]
component = "web"
path = "/cgi-bin/metrics"
name = "imbalance_cents"
equals = 0
"#;

/// How the rollout of what is in the repository now ended under traffic, and what of the answers was not 200.
fn rolled_out(it: &Installation, subject: &str, serial: &str) -> (String, usize) {
    it.push(subject);
    it.proposal(serial);
    let browsers = Browsers::start(it.exposed);
    it.approve(serial);
    let end = it.wait_end(serial);
    let told = browsers.stop();
    (end, told.iter().filter(|(_, status, _)| *status != 200).count())
}

#[test]
fn root_a_canary_is_judged_by_what_it_counts_and_by_what_must_add_up() {
    let it = Installation::start();
    it.write_small(ENVIRONMENT);
    it.release("First release", "visits-000001");

    // The same again: what is counted stands in no version's way that is no worse.
    it.replace("web.sh", "printf x", "# The second version.\nprintf x");
    assert_eq!(rolled_out(&it, "Second release", "visits-000002"), ("live".to_owned(), 0), "{}", it.story());
    for asked in ["counter", "invariant"] {
        let is_it = |claim: &serde_json::Value| claim["metrics"][0]["asks"].get(asked).is_some();
        assert!(it.claims("analysis").iter().any(|(_, claim)| is_it(claim)), "the log has no {asked}");
    }

    // It answers everything, and refuses one visit in three.
    it.replace("web.sh", "printf x", "[ $(( $$ % 3 )) = 0 ] && printf x >> /tmp/refused\nprintf x");
    let (end, failed) = rolled_out(&it, "Third release", "visits-000003");
    assert_eq!((end.as_str(), failed), ("went-back-worse", 0), "{}", it.story());
    let why = it.ok(&["release", "show", "visits-000003"]);
    assert!(why.contains("because a counter of web went wrong more often"), "{why}");

    // One figure that may never be another.
    it.replace("web.sh", "[ $(( $$ % 3 )) = 0 ] && printf x >> /tmp/refused\n", "");
    it.replace("metrics.sh", "imbalance=0", "imbalance=0\n[ \"$(count visits)\" -gt 5 ] && imbalance=1");
    let (end, failed) = rolled_out(&it, "Fourth release", "visits-000004");
    assert_eq!((end.as_str(), failed), ("went-back-worse", 0), "{}", it.story());
    let why = it.ok(&["release", "show", "visits-000004"]);
    assert!(why.contains("a figure of web that may never change was another"), "{why}");

    // A figure that is no number is no figure: it is not promoted, and goes back when its time is over.
    it.replace("metrics.sh", "[ \"$(count visits)\" -gt 5 ] && imbalance=1", "");
    it.replace("metrics.sh", "imbalance_cents %d", "imbalance_cents NaN%.0d");
    let (end, failed) = rolled_out(&it, "Fifth release", "visits-000005");
    assert_eq!((end.as_str(), failed), ("went-back-failed", 0), "{}", it.story());
    assert!(!it.milestones("visits-000005").iter().any(|what| what == "watched"));

    let answer = crate::request::get(it.exposed, "/cgi-bin/visit").unwrap();
    assert_eq!(String::from_utf8_lossy(&answer.body).trim(), "visits-000002");
    it.ok(&["audit"]);
}
