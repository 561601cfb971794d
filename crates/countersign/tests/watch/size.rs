//! A thousand components: how long from a fault to the message, and what `watch` costs.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    sync::{Arc, atomic::AtomicBool},
    time::{Duration, Instant},
};

use serde_json::json;

use crate::{
    peers::{Component, Webhook, serve},
    stage::{PROMISED, Stage},
};

const COMPONENTS: usize = 1_000;
/// How often one of them is broken.
const FAULTS: usize = 5;
/// How long the cost is measured.
const MEASURED: Duration = Duration::from_secs(6);
/// Of one core, as it is released; a build with all its checks on may take more.
const CORE_SHARE_LIMIT: f64 = if cfg!(debug_assertions) { 0.5 } else { 0.1 };

#[test]
fn a_thousand_components_are_watched_at_little_cost_and_told_in_time() {
    // One server answers at a thousand addresses of loopback; one component of them can be broken.
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    for _ in 0..2 {
        let listener = listener.try_clone().unwrap();
        let well = Arc::new(AtomicBool::new(true));
        std::thread::spawn(move || serve(&listener, &well));
    }
    let component = Component::start();
    let mut addresses = vec![component.address];
    addresses.extend((1..COMPONENTS).map(|n| {
        let [high, low] = u16::try_from(n).unwrap().to_be_bytes();
        SocketAddr::from(([127, 9, high, low], port))
    }));
    let webhook = Webhook::start();
    let stage = Stage::start(&addresses, &json!([{ "webhook": { "url": webhook.url } }]));
    let status = stage.dir().join("status/watch/status.json");
    stage.wait_until("all are probed", || fs::read_to_string(&status).is_ok_and(|s| s.contains("; 1000 probes")));

    let ticks_per_second = 100.0;
    let (before, began) = (ticks(stage.pid("watch").as_raw()), Instant::now());
    let mut taken = Vec::new();
    while taken.len() < FAULTS {
        component.set_well(false);
        let fault = Instant::now();
        let told = webhook.wait(&stage, "probe-failed", "c0", true);
        taken.push(told.at - fault);
        component.set_well(true);
        webhook.wait(&stage, "probe-failed", "c0", false);
    }
    while began.elapsed() < MEASURED {
        wait_a_moment();
    }
    let share =
        f64::from(ticks(stage.pid("watch").as_raw()) - before) / ticks_per_second / began.elapsed().as_secs_f64();
    taken.sort_unstable();
    let (median, longest) = (taken[taken.len() / 2], taken[taken.len() - 1]);
    println!(
        "{COMPONENTS} components: told after {} ms (median of {FAULTS}), {} ms at most; {:.1} % of one core",
        median.as_millis(),
        longest.as_millis(),
        share * 100.0
    );
    assert!(longest < PROMISED, "{taken:?}");
    assert!(share < CORE_SHARE_LIMIT, "{share}");
    let rest = webhook.rest();
    assert!(!rest.iter().any(|t| t.what == "probe-failed" && t.component.as_deref() != Some("c0")), "{rest:?}");
}

fn wait_a_moment() {
    std::thread::sleep(Duration::from_millis(50));
}

/// What a process has used of the processors: user and system time (proc(5), fields 14 and 15).
fn ticks(pid: i32) -> u32 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap().split(' ').collect();
    fields[11].parse::<u32>().unwrap() + fields[12].parse::<u32>().unwrap()
}
