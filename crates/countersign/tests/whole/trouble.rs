//! Trouble that people report with a new version, on a whole installation: it goes no further until somebody has looked.

use serde_json::Value;

use crate::{
    canary::Browsers,
    installation::{Installation, LONG, SHORT},
    wait::wait_for,
};

const SECOND: &str = "visits-000002";
/// Seconds of the agent for which it must not move: longer than a step.
const STILL: u64 = 8;

const ENVIRONMENT: &str = r#"strategy = "canary"
watch_s = 2
drain_s = 1

[environments.production.analysis]
steps = [20, 50]
step_s = 4
keep_percent = 10
reports_hold = 2
identity = ["cookie"]
margins = { promote_added_ppm = 30000, slower = {} }
"#;

#[test]
fn root_what_two_people_report_trouble_with_goes_no_further_until_somebody_has_looked() {
    let it = Installation::start();
    it.write_small(ENVIRONMENT);
    it.release("First release", "visits-000001");
    it.replace("web.sh", "printf x", "# The second version.\nprintf x");
    it.push("Second release");
    it.proposal(SECOND);
    let early = it.refused_as("ada", 4, &["report", SECOND, "--words", "the total is wrong"]);
    assert!(early.contains("never ran"), "{early}");
    let browsers = Browsers::start(it.exposed);
    it.approve(SECOND);
    it.wait_milestone(SECOND, "stepped");

    // One person who says it twice is one; whom the charter does not name is nobody.
    it.refused_as("eve", 4, &["report", SECOND, "--words", "it is slow"]);
    for words in ["the total is wrong", "it is wrong again"] {
        let told = it.ok_as("ada", &["report", SECOND, "--words", words]);
        assert!(told.contains("1 report trouble"), "{told}");
    }
    assert!(!it.milestones(SECOND).iter().any(|what| what == "reported"));
    it.ok_as("olga", &["report", SECOND, "--words", "customers call"]);
    it.wait_milestone(SECOND, "reported");
    let steps = || it.milestones(SECOND).iter().filter(|what| *what != "reported").count();
    let (held, since) = (steps(), agents_time(&it));
    let alarm = wait_for(
        "an alarm",
        SHORT,
        || it.story(),
        || {
            let is_it = |(_, c): &&(u64, Value)| c["what"] == "trouble-reported" && c["firing"] == true;
            it.claims("alarm").iter().find(is_it).map(|(index, _)| *index)
        },
    );
    let story = || it.story();
    wait_for("time goes on", LONG, story, || (agents_time(&it) >= since + STILL).then_some(()));
    assert_eq!(steps(), held, "{:?}", it.milestones(SECOND));
    let status = it.ok(&["status"]);
    assert!(status.contains("somebody to look: 2 people report trouble"), "{status}");

    it.ok_as("cora", &["acknowledge", &alarm.to_string()]);
    assert_eq!(it.wait_end(SECOND), "live", "{}", it.story());
    let told = browsers.stop();
    assert!(told.iter().all(|(_, status, _)| *status == 200));
    // The words are beside the log, and not in it.
    let log = it.statements().iter().map(Value::to_string).collect::<String>();
    assert!(!log.contains("customers call") && it.claims("report").len() == 3);
    it.ok(&["audit"]);
}

/// When the agent last said how it is, in seconds.
fn agents_time(it: &Installation) -> u64 {
    let status = it.status().unwrap();
    let agent = status["processes"].as_array().unwrap().iter().find(|process| process["role"] == "agent");
    agent.and_then(|agent| agent["at"].as_u64()).unwrap()
}
