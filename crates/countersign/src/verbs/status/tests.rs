use serde_json::json;

use super::{Args, run};
use crate::{
    clock::SystemClock,
    fault::Kind,
    status::Status,
    verbs::world::{World, arguments, printed, ran},
};
use model::{Clock as _, Timestamp};

fn word(role: &str, pid: u32, at: Timestamp) -> Status {
    Status {
        role: role.to_owned(),
        pid,
        since: at,
        at,
        doing: "works".to_owned(),
        waits: vec!["a statement".to_owned()],
        trouble: Some("the disk is full".to_owned()),
        confined: "confined".to_owned(),
        counted: std::collections::BTreeMap::new(),
        measured: std::collections::BTreeMap::new(),
    }
}

#[test]
fn processes_releases_and_the_charters_promise_are_shown() {
    let world = World::new();
    let (release, proposal, _) = world.released(1, None, [None, None]);
    let instance = json!({ "component": "web", "serial": "paydesk-000001", "address": "10.77.0.11:8080", "image": release.image, "state": "healthy" });
    let placement = json!({ "doing": "paydesk in production: paydesk-000001 runs", "waits": ["a verdict"], "instances": [instance], "expose": { "web": "127.0.0.1:8088" } });
    let version = json!({ "component": "web", "serial": "paydesk-000001", "requests": 12, "errors": 1, "in_flight": 0, "clients": 2, "held": 0, "latency_us": [] });
    *world.status.lock().unwrap() = json!({
        "processes": [word("gate", std::process::id(), SystemClock.now()), { "role": "edge", "doing": "has not said anything yet" }],
        "edge": { "generation": 3, "revision": 1, "versions": [version], "held": 0 },
        "agent": { "paydesk in production": placement },
    });
    let text = printed(|out| run(&Args {}, &world.common, out));
    for part in [
        format!("charter {}\n", world.members.hash()),
        "\"no one person can\" does not hold: olga administers main; main keeps the keys of ".to_owned(),
        "gate     works\n         waits for a statement\n         TROUBLE the disk is full\n         confined\n"
            .to_owned(),
        "edge     has not said anything yet\n".to_owned(),
        format!(
            "paydesk in production: paydesk-000001 runs (release {}, proposal {proposal})\n",
            release.digest.short()
        ),
        "  waits for a verdict\n  web at 127.0.0.1:8088\n".to_owned(),
        "  web            paydesk-000001 at 10.77.0.11:8080: healthy\n".to_owned(),
        "  edge: web      paydesk-000001 12 requests, 1 failed, 0 in flight, 0 held, 2 clients\n".to_owned(),
    ] {
        assert!(text.contains(&part), "`{part}` is missing:\n{text}");
    }
    assert!(text.contains("any program: the charter lists no digests for "), "{text}");
    assert!(!text.contains("unwitnessed") && !text.contains("marked demo"), "{text}");
    let json = printed(|out| run(&arguments::<Args>(&[]), &World::json(&world.common), out));
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["releases"][0]["serial"], "paydesk-000001");
    assert_eq!(json["edge"]["versions"][0]["requests"], 12);
    assert_eq!(json["duties_hold"], false);
}

#[test]
fn without_front_the_last_words_are_shown() {
    let world = World::new();
    let mut common = world.common.clone();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    common.server = Some(format!("http://{free}"));
    let path = common.layout().status(crate::identity::RoleUser::Gate);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    // No process has that number: it is above the largest that Linux gives.
    let gone = word("gate", 4_194_305, SystemClock.now());
    ledger::durable::write(&path, &serde_json::to_vec(&gone).unwrap(), 0o644).unwrap();
    let (text, end) = ran(|out| run(&Args {}, &common, out));
    let fault = end.unwrap_err();
    assert_eq!((fault.kind(), fault.message().split(':').next()), (Kind::Unavailable, Some("http")));
    assert_eq!(fault.hint_text(), Some("nothing was started from this folder; `countersign up` starts it"));
    assert!(text.contains("front does not answer; these are the last words that the processes left\n"), "{text}");
    assert!(text.contains("gate     works (NOT RUNNING; said "), "{text}");
    assert!(text.contains("agent    has left no word\n"), "{text}");
}
