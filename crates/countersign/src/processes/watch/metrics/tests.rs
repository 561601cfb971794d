use ledger::statement::v1::{AlarmAbout, AlarmKind};

use super::*;
use crate::status::StatusFile;

#[test]
fn every_process_and_every_alarm_is_in_the_text_and_it_ends_as_it_should() {
    let folder = tempfile::tempdir().unwrap();
    let layout = Layout::new(folder.path());
    for role in STARTED {
        std::fs::create_dir_all(layout.status(role).parent().unwrap()).unwrap();
    }
    let mut gate = StatusFile::new(&layout, RoleUser::Gate, "confined".to_owned());
    gate.measure("statements", 42);
    gate.trouble("the disk is full");
    gate.say("works", Vec::new());
    let scrape = Scrape::new(layout);
    let about = AlarmAbout { component: Some("web".parse().unwrap()), ..AlarmAbout::default() };
    let current = Current { words: "x".to_owned(), index: None, acknowledged: false, silenced: true };
    let alarms = BTreeMap::from([(Condition::of(AlarmKind::ProbeFailed, about), current)]);
    let name = |part: &str| part.to_owned();
    let components = BTreeMap::from([((name("paydesk"), name("production"), name("web")), true)]);
    scrape.set(&alarms, &components, BTreeMap::from([("http://a\"b\\c/".to_owned(), 3)]));
    let text = scrape.text().unwrap();
    for line in [
        "# TYPE countersign_process_up gauge",
        "countersign_process_up{process=\"gate\"} 1.0",
        "countersign_process_up{process=\"tester\"} 0.0",
        "countersign_statements{process=\"gate\"} 42.0",
        "# TYPE countersign_troubles counter",
        "countersign_troubles_total{process=\"gate\"} 1",
        "countersign_alarms{alarm=\"probe-failed\",silenced=\"yes\",acknowledged=\"no\"} 1.0",
        "countersign_component_up{system=\"paydesk\",environment=\"production\",component=\"web\"} 0.0",
        "countersign_alarms_sent_total{receiver=\"http://a\\\"b\\\\c/\"} 3",
    ] {
        assert!(text.lines().any(|l| l == line), "`{line}` is missing:\n{text}");
    }
    assert!(text.ends_with("# EOF\n") && text.matches("# EOF").count() == 1, "{text}");
}

#[test]
fn metrics_are_for_this_host_only() {
    for address in ["0.0.0.0:0", "192.0.2.1:7071", "[::]:0"] {
        let fault = listen(address.parse().unwrap()).unwrap_err();
        assert!(fault.message().contains("anybody could read them") && fault.hint_text().is_some(), "{fault}");
    }
    let held = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    assert!(listen(held.local_addr().unwrap()).unwrap_err().message().contains("can not be served"));
}
