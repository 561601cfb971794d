use std::{
    net::TcpListener,
    path::Path,
    sync::mpsc::{Receiver as Inbox, channel},
};

use axum::{Router, body::Bytes, extract::State, http::StatusCode, routing::post as answer_post};
use ledger::statement::v1::{AlarmAbout, AlarmKind};

use super::*;
use crate::{
    alarms::receiver::{CommandSetting, HttpSetting, ReceiverSetting},
    verbs::world::{listener, serve},
};

/// Longer than anything here takes, on a busy machine as well.
const LIMIT: Duration = Duration::from_secs(20);

fn condition(component: &str) -> Condition {
    let about = AlarmAbout { component: Some(component.parse().unwrap()), ..AlarmAbout::default() };
    Condition::of(AlarmKind::ProbeFailed, about)
}

fn firing(components: &[&str]) -> BTreeMap<Condition, Current> {
    let current =
        || Current { words: "it does not answer".to_owned(), index: None, acknowledged: false, silenced: false };
    components.iter().map(|name| (condition(name), current())).collect()
}

type Answers = Arc<Mutex<Vec<StatusCode>>>;

/// A receiver that gives these answers in turn, and then 200; what it is sent comes out.
fn receiver(answers: &[StatusCode]) -> (String, Inbox<Value>) {
    let (listener, address): (TcpListener, _) = listener();
    let (sent, inbox) = channel();
    let state: (Answers, _) = (Arc::new(Mutex::new(answers.iter().rev().copied().collect())), sent);
    let take = |State((answers, sent)): State<(Answers, std::sync::mpsc::Sender<Value>)>, body: Bytes| async move {
        let answer = answers.lock().unwrap().pop().unwrap_or(StatusCode::OK);
        if answer.is_success() {
            sent.send(serde_json::from_slice(&body).unwrap()).unwrap();
        }
        answer
    };
    serve(listener, Router::new().fallback(answer_post(take)).with_state(state));
    (format!("http://{address}"), inbox)
}

fn start(folder: &Path, settings: &[ReceiverSetting]) -> Sender {
    let receivers = Receiver::open_all(settings).unwrap();
    let outbox = Outbox::open(&folder.join("outbox.json"), &receivers).unwrap();
    Sender::start(outbox, receivers, "log.test".to_owned(), "main".to_owned()).unwrap()
}

fn http(url: &str) -> HttpSetting {
    HttpSetting { url: url.to_owned(), token_file: None, ca_file: None, repeat_s: None }
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_webhook_that_fails_at_first_is_told_the_beginning_and_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let (url, inbox) = receiver(&[StatusCode::INTERNAL_SERVER_ERROR, StatusCode::FORBIDDEN]);
    let sender = start(folder.path(), &[ReceiverSetting::Webhook(http(&url))]);
    sender.set(&firing(&["web"])).unwrap();
    wait_until("its failure is told", || sender.troubles().iter().any(|t| t.contains("500") || t.contains("403")));
    let told = inbox.recv_timeout(LIMIT).unwrap();
    assert_eq!((told["log"].as_str(), told["host"].as_str()), (Some("log.test"), Some("main")));
    let alarm = &told["alarms"][0];
    assert_eq!((alarm["alarm"].as_str(), alarm["firing"].as_bool()), (Some("probe-failed"), Some(true)));
    assert_eq!(
        (alarm["about"]["component"].as_str(), alarm["words"].as_str()),
        (Some("web"), Some("it does not answer"))
    );
    sender.set(&BTreeMap::new()).unwrap();
    let told = inbox.recv_timeout(LIMIT).unwrap();
    assert_eq!(told["alarms"][0]["firing"], false);
    wait_until("all is told", || sender.untold() == 0 && sender.troubles().is_empty());
}

#[test]
fn one_that_is_gone_keeps_nobody_else_waiting_and_is_told_after_a_crash() {
    let folder = tempfile::tempdir().unwrap();
    let (there, inbox) = receiver(&[]);
    let (listener, address) = listener();
    drop(listener);
    let settings =
        [ReceiverSetting::Webhook(http(&format!("http://{address}/"))), ReceiverSetting::Webhook(http(&there))];
    let sender = start(folder.path(), &settings);
    sender.set(&firing(&["web", "ledger"])).unwrap();
    assert_eq!(inbox.recv_timeout(LIMIT).unwrap()["alarms"].as_array().unwrap().len(), 2);
    wait_until("it is told what is wrong", || sender.troubles().iter().any(|t| t.contains("does not answer")));
    assert_eq!(sender.untold(), 2);
    // As after a crash: another process over the same file, and the receiver is back.
    drop(sender);
    let listener = TcpListener::bind(address).unwrap();
    let (sent, inbox) = channel();
    let take = |State(sent): State<std::sync::mpsc::Sender<usize>>, body: Bytes| async move {
        let told: Value = serde_json::from_slice(&body).unwrap();
        sent.send(told["alarms"].as_array().unwrap().len()).unwrap();
    };
    serve(listener, Router::new().fallback(answer_post(take)).with_state(sent));
    let again = start(folder.path(), &settings);
    wait_until("both are told", || inbox.try_iter().sum::<usize>() == 2 || again.untold() == 0);
}

#[test]
fn a_message_that_is_refused_keeps_no_other_back() {
    let folder = tempfile::tempdir().unwrap();
    let (listener, address) = listener();
    let (sent, inbox) = channel();
    let take = |State(sent): State<std::sync::mpsc::Sender<String>>, body: Bytes| async move {
        let told: Value = serde_json::from_slice(&body).unwrap();
        let alarms = told["alarms"].as_array().unwrap();
        if alarms.iter().any(|a| a["about"]["component"] == "poison") {
            return StatusCode::BAD_REQUEST;
        }
        alarms.iter().for_each(|a| sent.send(a["about"]["component"].as_str().unwrap().to_owned()).unwrap());
        StatusCode::OK
    };
    serve(listener, Router::new().fallback(answer_post(take)).with_state(sent));
    let sender = start(folder.path(), &[ReceiverSetting::Webhook(http(&format!("http://{address}/")))]);
    sender.set(&firing(&["poison", "web"])).unwrap();
    assert_eq!(inbox.recv_timeout(LIMIT).unwrap(), "web");
    wait_until("that is taken down", || sender.untold() == 1);
}

#[test]
fn a_command_is_told_on_its_input_and_acknowledges_by_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("told");
    let script = format!("test -e {0}.ready || {{ : > {0}.ready; exit 3; }}; cat > {0}", out.display());
    let argv = ["/bin/sh", "-c", &script].map(str::to_owned).to_vec();
    let sender = start(folder.path(), &[ReceiverSetting::Command(CommandSetting { argv, repeat_s: None })]);
    sender.set(&firing(&["web"])).unwrap();
    wait_until("it failed", || sender.troubles().iter().any(|t| t.contains("exit status: 3")));
    wait_until("it is told", || sender.untold() == 0);
    let told: Value = serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap();
    assert_eq!(told["alarms"][0]["about"]["component"], "web");
}
