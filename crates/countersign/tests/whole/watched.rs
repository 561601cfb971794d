//! `watch` falls silent, stopped or killed for good: the gate says so in the log, and the stand-in tells people.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::mpsc::{Receiver, channel},
    time::{Duration, Instant},
};

use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::{
    installation::{Installation, SHORT},
    wait::wait_for,
};

/// From its silence to the message: five seconds are promised. A build with all its checks on, which has to start the
/// stand-in beside other tests, gets as long as anything here.
const PROMISED: Duration = if cfg!(debug_assertions) { SHORT } else { Duration::from_secs(5) };

#[test]
fn root_people_are_told_when_watch_itself_is_silent() {
    let (url, told) = webhook();
    let it = Installation::make();
    it.set(&[("alarms", json!([{ "webhook": { "url": url } }]))]);
    it.up();
    wait_for(
        "watch lives",
        SHORT,
        || it.story(),
        || {
            it.status()?["processes"]
                .as_array()?
                .iter()
                .find(|p| p["role"] == "watch" && p["doing"] != "starting")
                .map(drop)
        },
    );
    let alarms = || -> Vec<bool> {
        let of_watch = |c: &&(u64, Value)| c.1["about"]["process"] == "watch";
        it.claims("alarm").iter().filter(of_watch).map(|(_, c)| c["firing"] == true).collect()
    };

    // Stopped, it is told of, and its coming back as well.
    let silent = Instant::now();
    it.signal("process watch --dir", Signal::SIGSTOP);
    next(&told, &it, true);
    assert!(silent.elapsed() < PROMISED, "told after {} ms", silent.elapsed().as_millis());
    wait_for("the gate says so", SHORT, || it.story(), || (alarms() == [true]).then_some(()));
    it.signal("process watch --dir", Signal::SIGCONT);
    next(&told, &it, false);
    wait_for("it is over in the log", SHORT, || it.story(), || (alarms().get(1) == Some(&false)).then_some(()));
    wait_for("the stand-in ends", SHORT, || it.story(), || it.process("--stand-in").is_none().then_some(()));

    // Killed for good: its key is gone, so it does not start again.
    let key = it.dir().join("keys/watch.key");
    let kept = it.path("watch.key");
    fs::rename(&key, &kept).unwrap();
    it.signal("process watch --dir", Signal::SIGKILL);
    next(&told, &it, true);
    wait_for("the gate says so again", SHORT, || it.story(), || (alarms().last() == Some(&true)).then_some(()));
    // The stand-in is killed as well, and another one goes on.
    it.signal("--stand-in", Signal::SIGKILL);
    wait_for("another stand-in runs", SHORT, || it.story(), || it.process("--stand-in").is_some().then_some(()));
    fs::rename(&kept, &key).unwrap();
    next(&told, &it, false);
    wait_for("it is over in the log", SHORT, || it.story(), || (alarms().last() == Some(&false)).then_some(()));
    it.ok(&["audit"]);
}

/// Waits for the message that `watch` is silent, or that it lives again.
fn next(told: &Receiver<Value>, it: &Installation, firing: bool) {
    wait_for(
        if firing { "people are told" } else { "people are told that it lives" },
        SHORT,
        || it.story(),
        || told.try_iter().find(|a| a["about"]["process"] == "watch" && a["firing"] == firing).map(drop),
    );
}

/// Takes down each alarm that comes.
fn webhook() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let (sender, told) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let (mut bytes, mut part) = (Vec::new(), [0; 4_096]);
            // The document ends the message; what follows the last brace is nothing.
            while !bytes.ends_with(b"}") {
                match stream.read(&mut part) {
                    Ok(length) if length > 0 => bytes.extend_from_slice(&part[..length]),
                    _ => break,
                }
            }
            let Some(start) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
            let Ok(document) = serde_json::from_slice::<Value>(&bytes[start + 4..]) else { continue };
            drop(stream.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"));
            for alarm in document["alarms"].as_array().unwrap() {
                if sender.send(alarm.clone()).is_err() {
                    return;
                }
            }
        }
    });
    (url, told)
}
