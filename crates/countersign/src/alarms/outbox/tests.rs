use gate::alarms::Condition;
use ledger::statement::v1::{AlarmAbout, AlarmKind};

use super::*;
use crate::alarms::receiver::{HttpSetting, ReceiverSetting};

const NOBODY: Vec<bool> = Vec::new();

fn receivers() -> Vec<Receiver> {
    let http = |url: &str| HttpSetting { url: url.to_owned(), token_file: None, ca_file: None, repeat_s: Some(60) };
    Receiver::open_all(&[
        ReceiverSetting::Webhook(http("http://127.0.0.1:1/hook")),
        ReceiverSetting::Alertmanager(http("http://127.0.0.1:1")),
    ])
    .unwrap()
}

fn condition(component: &str) -> Condition {
    let about = AlarmAbout { component: Some(component.parse().unwrap()), ..AlarmAbout::default() };
    Condition::of(AlarmKind::ProbeFailed, about)
}

fn fires() -> Current {
    Current { words: "it does not answer".to_owned(), index: Some(7), acknowledged: false, silenced: false }
}

fn only(component: &str, current: Current) -> BTreeMap<Condition, Current> {
    BTreeMap::from([(condition(component), current)])
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_unix(seconds)
}

struct Box {
    folder: tempfile::TempDir,
    receivers: Vec<Receiver>,
    outbox: Outbox,
}

impl Box {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let receivers = receivers();
        let outbox = Outbox::open(&folder.path().join("outbox.json"), &receivers).unwrap();
        Self { folder, receivers, outbox }
    }

    /// What a crash leaves.
    fn reopen(&mut self) {
        self.outbox = Outbox::open(&self.folder.path().join("outbox.json"), &self.receivers).unwrap();
    }

    /// What is due for the webhook and for Alertmanager: whether each fires.
    fn due(&self, now: u64) -> [Vec<bool>; 2] {
        [0, 1].map(|at_receiver| {
            let due = self.outbox.due(&self.receivers[at_receiver], at(now), BATCH_LIMIT);
            due.iter().map(|d| d.message.over.is_none()).collect()
        })
    }

    fn tell(&mut self, receiver: usize, now: u64) {
        let due = self.outbox.due(&self.receivers[receiver], at(now), BATCH_LIMIT);
        self.outbox.told(&self.receivers[receiver], &due, at(now)).unwrap();
    }
}

#[test]
fn what_was_not_acknowledged_is_due_again_after_a_crash_and_to_each_receiver() {
    let mut it = Box::new();
    assert!(it.outbox.set(at(100), &only("web", fires())).unwrap());
    assert!(!it.outbox.set(at(101), &only("web", fires())).unwrap(), "nothing changed, nothing is written");
    assert_eq!(it.due(100), [vec![true], vec![true]]);
    it.reopen();
    assert_eq!((it.due(100), it.outbox.untold()), ([vec![true], vec![true]], 1));
    it.tell(0, 100);
    it.reopen();
    assert_eq!(
        (it.due(101), it.outbox.untold()),
        ([vec![], vec![true]], 1),
        "one who was told does not speak for the other"
    );
    it.tell(1, 101);
    assert_eq!(it.outbox.untold(), 0);
}

#[test]
fn it_is_told_again_until_a_person_has_seen_it_and_its_end_once() {
    let mut it = Box::new();
    it.outbox.set(at(100), &only("web", fires())).unwrap();
    it.tell(0, 100);
    it.tell(1, 100);
    assert_eq!(it.due(159), [NOBODY, NOBODY]);
    assert_eq!(it.due(160), [vec![true], vec![true]], "nobody has seen it");
    it.outbox.set(at(160), &only("web", Current { acknowledged: true, ..fires() })).unwrap();
    assert_eq!(it.due(160), [vec![], vec![true]], "Alertmanager forgets what is not sent again");
    it.tell(1, 160);
    it.outbox.set(at(170), &BTreeMap::new()).unwrap();
    it.reopen();
    assert_eq!(it.due(170), [vec![false], vec![false]]);
    it.tell(0, 170);
    assert_eq!(it.due(1_000), [vec![], vec![false]]);
    it.tell(1, 1_000);
    assert_eq!((it.due(9_999), it.outbox.untold()), ([NOBODY, NOBODY], 0));
    it.outbox.set(at(10_000), &only("web", fires())).unwrap();
    assert_eq!(it.due(10_000), [vec![true], vec![true]], "it begins anew");
}

#[test]
fn what_was_over_before_anybody_was_told_is_told_all_the_same() {
    let mut it = Box::new();
    it.outbox.set(at(100), &only("web", fires())).unwrap();
    it.outbox.set(at(101), &BTreeMap::new()).unwrap();
    it.reopen();
    assert_eq!((it.due(102), it.outbox.untold()), ([vec![false], vec![false]], 1));
}

#[test]
fn what_is_silenced_is_not_told_and_ends_where_it_is_kept() {
    let mut it = Box::new();
    let silenced = || Current { silenced: true, ..fires() };
    it.outbox.set(at(100), &only("web", silenced())).unwrap();
    assert_eq!((it.due(100), it.due(9_999)), ([NOBODY, NOBODY], [NOBODY, NOBODY]));
    // The silence ends, and the alarm does not.
    it.outbox.set(at(200), &only("web", fires())).unwrap();
    assert_eq!(it.due(200), [vec![true], vec![true]]);
    it.tell(0, 200);
    it.tell(1, 200);
    // A silence over one that was told: nobody is told again, and Alertmanager is told that it is over.
    it.outbox.set(at(300), &only("web", silenced())).unwrap();
    assert_eq!(it.due(300), [vec![], vec![false]]);
    it.tell(1, 300);
    assert_eq!(it.due(999), [NOBODY, NOBODY]);
    // It is over under the silence: who was told that it fires is told that it is over.
    it.outbox.set(at(1_000), &BTreeMap::new()).unwrap();
    assert_eq!(it.due(1_000), [vec![false], vec![]]);
    it.tell(0, 1_000);
    assert_eq!(it.outbox.untold(), 0);
}

#[test]
fn many_are_told_in_parts_and_what_was_never_told_first() {
    let mut it = Box::new();
    let many = |count: usize| (0..count).map(|n| (condition(&format!("c{n}")), fires())).collect::<BTreeMap<_, _>>();
    it.outbox.set(at(100), &many(BATCH_LIMIT + 1)).unwrap();
    assert_eq!(it.due(100)[0].len(), BATCH_LIMIT);
    it.tell(0, 100);
    assert_eq!(it.due(100)[0].len(), 1);
    let first = it.outbox.due(&it.receivers[0], at(9_999), 1);
    it.tell(1, 100);
    assert!(
        !it.outbox
            .kept
            .entries
            .iter()
            .any(|e| e.number == first[0].number && e.told.contains_key(&it.receivers[0].name))
    );
    // There is a limit to what is kept.
    let mut flood = many(KIND_LIMIT + 5);
    it.outbox.set(at(200), &flood).unwrap();
    assert_eq!(it.outbox.kept.entries.len(), KIND_LIMIT);
    assert_eq!(it.outbox.troubles().collect::<Vec<_>>(), ["5 more alarms probe-failed are not told one by one"]);
    let words = it.outbox.due(&it.receivers[0], at(200), 3).pop().unwrap().message.words;
    assert!(words.ends_with(" … and 5 more of this kind; `countersign alarms` has them"), "{words}");
    // An alarm of another kind is told in the flood of one.
    let other = Condition::of(AlarmKind::LogStale, AlarmAbout::default());
    flood.insert(other.clone(), fires());
    it.outbox.set(at(201), &flood).unwrap();
    assert!(it.outbox.open_conditions().any(|(condition, _)| condition == other));
    // When the flood is over there is no more to say of it.
    it.outbox.set(at(202), &many(3)).unwrap();
    assert_eq!(it.outbox.troubles().count(), 0);
}

#[test]
fn a_damaged_file_is_not_passed_over() {
    let it = Box::new();
    let path = it.folder.path().join("outbox.json");
    durable::write(&path, b"{\"next\":1,", 0o600).unwrap();
    let fault = Outbox::open(&path, &it.receivers).unwrap_err();
    assert_eq!(fault.kind(), Kind::Untrue);
    assert!(fault.message().contains("outbox.json` does not hold up"), "{fault}");
    assert!(fault.hint_text().unwrap().contains("countersign alarms"));
}

#[test]
#[expect(clippy::disallowed_methods, reason = "a folder is moved away; nothing of it needs to last")]
fn a_disk_that_takes_nothing_silences_nobody() {
    let mut outbox = Box::new();
    assert!(outbox.outbox.set(at(100), &only("old", fires())).unwrap());
    // No room for the file: its folder is gone.
    let away = outbox.folder.path().with_extension("away");
    std::fs::rename(outbox.folder.path(), &away).unwrap();
    let both = BTreeMap::from([(condition("old"), fires()), (condition("new"), fires())]);
    assert!(outbox.outbox.set(at(101), &both).unwrap());
    assert!(outbox.outbox.troubles().any(|why| why.contains("can not be written")));
    assert_eq!(outbox.due(101), [[true, true], [true, true]]);
    // Who was told is remembered, so nobody is told again and again.
    let due = outbox.outbox.due(&outbox.receivers[0], at(101), BATCH_LIMIT);
    let webhook = outbox.receivers[0].clone();
    outbox.outbox.told(&webhook, &due, at(101)).unwrap();
    assert_eq!(outbox.due(102)[0], NOBODY);
    // When it takes something again, all of it is written without anything new.
    std::fs::rename(&away, outbox.folder.path()).unwrap();
    assert!(!outbox.outbox.set(at(103), &both).unwrap());
    assert_eq!(outbox.outbox.troubles().count(), 0);
    outbox.reopen();
    assert_eq!(outbox.due(104), [vec![], vec![true, true]]);
}
