//! A canary on a whole installation: clients keep their version, a good one gets all of them step by step, and a bad one
//! goes back before many were served by it.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::JoinHandle,
};

use crate::{installation::Installation, request::get_as};

/// Browsers that visit in turns, each with the cookie that it was given. Not a multiple of ten for each client, so that every
/// tenth visit is not always the same browser's.
const BROWSERS: usize = 63;
/// Clients at work at the same time.
const AT_ONCE: usize = 3;

/// One answer: which browser, the status, and the version that gave it.
pub(crate) type Told = (usize, u16, String);

/// Browsers that visit without a pause.
pub(crate) struct Browsers {
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Vec<Told>>>,
}

impl Browsers {
    pub(crate) fn start(address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let client = |client: usize| {
            let stop = stop.clone();
            std::thread::spawn(move || {
                let (mut told, mut cookies) = (Vec::new(), vec![None::<String>; BROWSERS]);
                for number in 0.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let at = number % (BROWSERS / AT_ONCE) * AT_ONCE + client;
                    let path = format!("/cgi-bin/visit?visit-browser-{number}");
                    let answer = match get_as(address, &path, cookies[at].as_deref()) {
                        Ok(answer) => answer,
                        Err(error) => {
                            told.push((at, 0, error.to_string()));
                            continue;
                        }
                    };
                    if let Some(cookie) = answer.cookie {
                        cookies[at] = Some(cookie);
                    }
                    let text = String::from_utf8_lossy(&answer.body).into_owned();
                    told.push((at, answer.status, text.lines().next().unwrap_or_default().to_owned()));
                }
                told
            })
        };
        let clients = (0..AT_ONCE).map(client).collect();
        Self { stop, clients }
    }

    pub(crate) fn stop(self) -> Vec<Told> {
        self.stop.store(true, Ordering::Relaxed);
        self.clients.into_iter().flat_map(|client| client.join().unwrap()).collect()
    }
}

/// Requests of each tick and the answers, over all statements of a comparison, which must follow one another.
fn compared(it: &Installation, serial: &str) -> (u64, Vec<String>) {
    let (mut next, mut requests, mut answers) = (0, 0, Vec::new());
    for (index, claim) in it.claims("analysis").iter().filter(|(_, claim)| claim["serial"] == serial) {
        assert_eq!(claim["first"], next, "statement {index}");
        let ticks = claim["ticks"].as_array().unwrap();
        next += ticks.len() as u64;
        requests += ticks.iter().map(|tick| tick["requests"].as_u64().unwrap()).sum::<u64>();
        answers.push(claim["answer"].as_str().unwrap().to_owned());
    }
    (requests, answers)
}

#[test]
fn root_a_canary_keeps_clients_where_they_are_and_goes_back_when_it_is_worse() {
    let it = Installation::start();
    it.replace(
        "countersign.toml",
        "strategy = \"blue-green\"",
        // A wide margin to go on, so that seconds of a small system's traffic are enough.
        "strategy = \"canary\"\nanalysis = { steps = [20, 50], step_s = 2, keep_percent = 10, identity = [\"cookie\"], margins = { promote_added_ppm = 30000, slower = {} } }",
    );
    it.first_release();

    let browsers = Browsers::start(it.exposed);
    it.replace("counter.sh", "# Keeps", "# The second version. Keeps");
    it.push("Second release");
    it.approve("visits-000002");
    let end = it.wait_end("visits-000002");
    let told = browsers.stop();
    assert_eq!(end, "live", "{}", it.story());
    let failed: Vec<&Told> = told.iter().filter(|(_, status, _)| *status != 200).collect();
    assert!(failed.is_empty(), "{failed:?}");
    for browser in 0..BROWSERS {
        let serials: Vec<&str> = told.iter().filter(|(at, ..)| *at == browser).map(|(.., s)| s.as_str()).collect();
        assert!(serials.is_sorted(), "browser {browser} went forth and back: {serials:?}");
    }
    let milestones = it.milestones("visits-000002");
    assert_eq!(milestones.iter().filter(|m| *m == "stepped").count(), 3, "{milestones:?}");
    let (requests, answers) = compared(&it, "visits-000002");
    assert!(requests > 50 && answers.last().is_some_and(|a| a == "promote"), "{requests}: {answers:?}");

    // One visit in ten fails in the third version, which its own tests do not see.
    let browsers = Browsers::start(it.exposed);
    it.replace(
        "web.sh",
        "# Sends",
        "case \"$QUERY_STRING\" in visit-browser-*7) printf 'Status: 500 Internal Server Error\\r\\n\\r\\n'; exit ;; esac\n# Sends",
    );
    it.push("Third release");
    it.approve("visits-000003");
    let end = it.wait_end("visits-000003");
    let told = browsers.stop();
    assert_eq!(end, "went-back-worse", "{}", it.story());
    let failed = told.iter().filter(|(_, status, _)| *status != 200).count();
    let all = told.iter().filter(|(_, _, serial)| serial == "visits-000003").count() + failed;
    println!("{failed} of {all} visits to the bad version failed, of {} in all", told.len());
    assert!(failed >= 2 && failed < told.len() / 20, "{failed} of {}", told.len());
    let (_, answers) = compared(&it, "visits-000003");
    assert_eq!(answers.last().map(String::as_str), Some("go-back"), "{answers:?}");
    assert_eq!(it.visit("visit-last")[0], "visits-000002");
    it.ok(&["audit"]);
}
