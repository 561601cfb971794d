//! Faults, who is told of them, and what ends that.

use std::time::Instant;

use nix::sys::signal::Signal;
use serde_json::json;

use crate::{
    peers::{Component, Server, Webhook},
    stage::{PROMISED, Stage},
};

#[test]
fn a_component_that_fails_is_told_by_every_way_is_silenced_and_ends_there() {
    let (webhook, component, other) = (Webhook::start(), Component::start(), Component::start());
    let alertmanager = Server::alertmanager();
    let told = json!([
        { "webhook": { "url": webhook.url } },
        { "alertmanager": { "url": format!("http://{}", alertmanager.address), "repeat_s": 1 } },
    ]);
    let stage = Stage::start(&[component.address, other.address], &told);
    let prometheus = Server::prometheus(stage.metrics);
    let c0 = || ("probe-failed".to_owned(), "c0".to_owned());
    // Prometheus' own parser takes the text, and has what it says.
    let query = |text: &str| prometheus.json(&format!("/api/v1/query?query={text}"))["data"]["result"].clone();
    let value = |text: &str| query(text)[0]["value"][1].as_str().map(str::to_owned);
    let up = "countersign_component_up%7Bcomponent%3D%22c0%22%7D";
    stage.wait_until("Prometheus has read that it is well", || value(up).as_deref() == Some("1"));
    assert_eq!(value("countersign_process_up%7Bprocess%3D%22gate%22%7D").as_deref(), Some("1"));
    let target = prometheus.json("/api/v1/targets")["data"]["activeTargets"][0].clone();
    assert_eq!((target["health"].as_str(), target["lastError"].as_str()), (Some("up"), Some("")), "{target}");

    component.set_well(false);
    let fault = Instant::now();
    let first = webhook.wait(&stage, "probe-failed", "c0", true);
    assert!(first.at - fault < PROMISED, "told after {} ms", (first.at - fault).as_millis());
    stage.wait_until("Alertmanager has it", || alertmanager.active().contains(&c0()));
    let index = stage.wait_firing("probe-failed", "c0");
    stage.wait_until("Prometheus sees it", || value(up).as_deref() == Some("0"));

    // Silenced it is still there, and nobody is told.
    stage.ok("dina", &["silence", "probe-failed", "--component", "c0", "--for", "10m", "--reason", "it is moved"]);
    stage.wait_until("Alertmanager forgets it", || !alertmanager.active().contains(&c0()));
    assert_eq!(stage.firing("probe-failed", "c0"), Some(index), "what is silenced fires all the same");
    let silence = stage.wait_firing("silenced", "statement");
    let number = stage.alarms()["silences"][0]["silence"].to_string();
    stage.wait_until("the silence is told", || alertmanager.active().iter().any(|(what, _)| what == "silenced"));
    let status = stage.ok("olga", &["status"]);
    assert!(status.contains("SILENCE ") && status.contains(&format!("ALARM {silence} silenced")), "{status}");
    other.set_well(false);
    webhook.wait(&stage, "probe-failed", "c1", true);
    other.set_well(true);
    webhook.wait(&stage, "probe-failed", "c1", false);
    // Ended early, by somebody else, it is told again.
    stage.ok("olga", &["silence", "end", &number]);
    stage.wait_until("Alertmanager has it again", || alertmanager.active().contains(&c0()));

    let rest = webhook.rest();
    assert!(!rest.iter().any(|t| t.component.as_deref() == Some("c0") && !t.firing), "{rest:?}");
    component.set_well(true);
    webhook.wait(&stage, "probe-failed", "c0", false);
    stage.wait_until("it ends at Alertmanager", || !alertmanager.active().contains(&c0()));
    stage.wait_until("it ends in the log", || stage.firing("probe-failed", "c0").is_none());
    let told = [true, false].map(|firing| webhook.count("probe-failed", "c0", firing));
    assert_eq!(told, [1, 1], "once that it fires and once that it is over, silenced in between or not");
}

#[test]
fn what_falls_silent_is_told_also_without_the_log_and_once_after_kills() {
    let (webhook, component) = (Webhook::start(), Component::start());
    let mut stage =
        Stage::start(&[component.address], &json!([{ "webhook": { "url": webhook.url, "repeat_s": 3600 } }]));
    stage.wait_firing("verdict-withdrawn", "production");

    // A process that is gone.
    let fault = Instant::now();
    stage.alive.lock().unwrap().retain(|role| *role != "tester");
    let told = webhook.wait(&stage, "heartbeat-missed", "tester", true);
    assert!(told.at - fault < PROMISED, "told after {} ms", (told.at - fault).as_millis());
    let index = stage.wait_firing("heartbeat-missed", "process tester");

    stage.wait_until("who was told is kept", || stage.has_kept_told("tester"));

    // `watch` is killed and started again: the alarm stays one, and is told of no second time.
    stage.kill("watch");
    stage.run("watch");
    stage.alive.lock().unwrap().retain(|role| *role != "builder");
    webhook.wait(&stage, "heartbeat-missed", "builder", true);
    let builder = stage.wait_firing("heartbeat-missed", "process builder");
    assert_eq!(stage.firing("heartbeat-missed", "process tester"), Some(index));
    assert_eq!(webhook.count("heartbeat-missed", "tester", true), 1, "told of no second time");
    stage.alive.lock().unwrap().extend(["tester", "builder"]);
    webhook.wait(&stage, "heartbeat-missed", "tester", false);
    assert_eq!(webhook.count("heartbeat-missed", "tester", true), 1, "nor before its end");
    stage.wait_until("it is over in the log", || stage.firing("heartbeat-missed", "process").is_none());
    assert!(builder > index);

    // The log hangs: people are told first, and the log when it is back.
    let fault = Instant::now();
    stage.signal("log", Signal::SIGSTOP);
    let told = webhook.wait(&stage, "heartbeat-missed", "log", true);
    assert!(told.at - fault < PROMISED, "told after {} ms", (told.at - fault).as_millis());
    stage.signal("log", Signal::SIGCONT);
    webhook.wait(&stage, "heartbeat-missed", "log", false);
    stage.wait_until("the log has that it hung", || stage.has_begun("process\":\"log"));

    // `watch` hangs: the gate says so in the log, and `watch` ends it when it is back.
    let begun = stage.begun("heartbeat-missed");
    stage.signal("watch", Signal::SIGSTOP);
    stage.wait_firing("heartbeat-missed", "process watch");
    assert_eq!(stage.begun("heartbeat-missed"), begun + 1);
    stage.signal("watch", Signal::SIGCONT);
    stage.wait_until("it is over", || stage.firing("heartbeat-missed", "process watch").is_none());
    // And the same when it is killed.
    stage.kill("watch");
    stage.wait_firing("heartbeat-missed", "process watch");
    stage.run("watch");
    stage.wait_until("it is over", || stage.firing("heartbeat-missed", "process watch").is_none());
}
