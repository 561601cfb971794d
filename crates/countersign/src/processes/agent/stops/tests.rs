//! A halt to a hundred agents while there is no log to be reached, a stop whose signer had seen another history, and the
//! door for other hosts.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr},
    time::Instant,
};

use gate::{CurrentError, current, policy::Policy};
use ledger::statement::v1::{Claim, EvidenceOutcome, Halt, Rejection, Seen};

use super::*;
use crate::{
    fault::Kind,
    processes::agent::ROUND,
    say::{About, Speaker},
    settings::Settings,
    verbs::{
        file_signer, halt,
        world::{World, arguments, listener, production, ran, system},
    },
};

/// As many as the measure asks for.
const AGENTS: usize = 100;
/// What the measure allows, from the moment that a person's program starts.
const LIMIT: Duration = Duration::from_secs(2);

/// A proposal that two people approved.
fn granted() -> (World, u64) {
    let world = World::new();
    let release = world.built(1, None);
    world.tested(&release, EvidenceOutcome::Passed, [None, None]);
    let proposal = world.proposed(&release);
    world.approved(proposal, "ben", "release-manager");
    world.approved(proposal, "cem", "release-manager");
    world.tick();
    (world, proposal)
}

/// Doors as agents have them, all served by one thread pool; each takes stops into a folder of its own.
fn agents(world: &World, count: usize) -> Vec<(SocketAddr, Arc<Stops>)> {
    let made: Vec<_> = (0..count)
        .map(|number| {
            let stops = Stops::open(world.path(&format!("agents/{number}")), world.members.clone()).unwrap();
            let (listener, address) = listener();
            (listener, address, Arc::new(stops))
        })
        .collect();
    let kept = made.iter().map(|(_, address, stops)| (*address, stops.clone())).collect();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async {
            for (listener, _, stops) in made {
                tokio::spawn(serve_public(listener, door(stops), FAR_LIMITS));
            }
            std::future::pending::<()>().await;
        });
    });
    kept
}

/// A folder's settings with these agents; and a `front` that nobody answers at.
fn without_front(world: &World, agents: &[SocketAddr]) -> crate::verbs::Flags {
    let mut common = world.as_person("olga");
    let mut settings = Settings::of_host("main".parse().unwrap());
    settings.agents = agents.iter().map(|address| format!("http://{address}")).collect();
    ledger::durable::write(&common.layout().settings(), &serde_json::to_vec(&settings).unwrap(), 0o644).unwrap();
    let free = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    common.server = Some(format!("http://{free}"));
    common
}

/// Every agent decides again and again, as between two steps of a rollout, until it may not any more.
#[test]
fn a_halt_reaches_a_hundred_agents_while_nothing_else_answers() {
    let (world, proposal) = granted();
    let view = world.view();
    let policy = Policy::parse(&world.members.charter().policy).unwrap();
    let checkpoint = view.reader().fresh(SystemClock.now(), 60).unwrap();
    let agents = agents(&world, AGENTS);
    let addresses: Vec<SocketAddr> = agents.iter().map(|(address, _)| *address).collect();
    let common = without_front(&world, &addresses);
    let decides = |stops: &Stops| match stops.weigh(view.facts()).1 {
        Some(facts) => current(&policy, &facts.unwrap(), &checkpoint, proposal, SystemClock.now()),
        None => current(&policy, view.facts(), &checkpoint, proposal, SystemClock.now()),
    };
    let began = Instant::now();
    let took: Vec<Duration> = std::thread::scope(|scope| {
        let waiting: Vec<_> = agents
            .iter()
            .map(|(_, stops)| {
                let decides = &decides;
                scope.spawn(move || {
                    loop {
                        match decides(stops) {
                            Ok(permission) => drop(permission),
                            Err(CurrentError::Refused(_)) => return began.elapsed(),
                            Err(other) => panic!("{other}"),
                        }
                        assert!(began.elapsed() < LIMIT * 10, "never halted");
                        wait_a_round();
                    }
                })
            })
            .collect();
        let (said, done) = ran(|out| halt::run(&arguments::<halt::Args>(&["-e", "production"]), &common, out));
        done.unwrap();
        assert!(said.starts_with("production: halted by olga; the agent has it, the log does not yet"), "{said}");
        waiting.into_iter().map(|agent| agent.join().unwrap()).collect()
    });
    let (first, last) = (took.iter().min().unwrap(), took.iter().max().unwrap());
    let told = format!(
        "{AGENTS} agents: the first stopped after {} ms, the last after {} ms",
        first.as_millis(),
        last.as_millis()
    );
    std::io::Write::write_all(&mut std::io::stdout(), format!("{told}\n").as_bytes()).unwrap();
    assert!(*last < LIMIT, "{} ms", last.as_millis());
    assert!(agents.iter().all(|(_, stops)| stops.tell(SystemClock.now()).len() == 1));
    assert!(agents.iter().all(|(_, stops)| stops.tell(SystemClock.now().plus_s(61))[0].late), "and an alarm by then");
}

/// Not for a condition: an agent looks so often, and how long that takes is what is measured.
fn wait_a_round() {
    std::thread::sleep(ROUND);
}

#[test]
fn an_agent_that_was_not_told_is_named_and_is_no_success() {
    let (world, _) = granted();
    let told = agents(&world, 2);
    // Nobody listens there.
    let gone = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let common = without_front(&world, &[told[0].0, gone, told[1].0]);
    let halt = || ran(|out| halt::run(&arguments::<halt::Args>(&[]), &common, out));
    let fault = halt().1.unwrap_err();
    assert_eq!(fault.kind(), Kind::Unavailable);
    assert!(fault.message().contains(&format!("agents have it, but NOT http://{gone}")), "{fault}");
    assert!(told.iter().all(|(_, stops)| stops.tell(SystemClock.now()).len() == 1), "the others have it");

    // With the log it is a success, and says which agent has to learn of it from there.
    let mut common = common.clone();
    common.server.clone_from(&world.common.server);
    let (said, done) = ran(|out| halt::run(&arguments::<halt::Args>(&[]), &common, out));
    done.unwrap();
    assert!(said.contains(&format!("NOT handed to the agent at http://{gone}")), "{said}");

    // A list that can not be read stops no stop.
    let path = common.layout().settings();
    let text = std::fs::read_to_string(&path).unwrap().replace(&gone.to_string(), "nowhere");
    ledger::durable::write(&path, text.as_bytes(), 0o644).unwrap();
    let (said, done) = ran(|out| halt::run(&arguments::<halt::Args>(&[]), &common, out));
    done.unwrap();
    assert!(said.contains("NOT handed to the agent at the other hosts' agents: `http://nowhere`"), "{said}");
}

#[test]
fn a_stop_on_another_history_holds_and_is_told() {
    let (world, proposal) = granted();
    let view = world.view();
    let stops = Stops::open(world.path("agent/stops"), world.members.clone()).unwrap();
    let release = view.facts().proposal(proposal).unwrap().claim.release;
    let speaker = Speaker::new(
        file_signer(&world.path("people/cem")).unwrap(),
        world.members.hash(),
        "release-manager".parse().unwrap(),
    );
    let say = |seen: Option<Seen>| {
        let claim = Claim::Rejection(Rejection { proposal, release, reason: None });
        let about = About { system: Some(system()), environment: Some(production()), seen, nonce: None };
        stops.take(&speaker.sign(claim, about).unwrap().canonical_bytes()).unwrap();
        stops.compare(view.reader());
        let mut told: Vec<bool> = stops.tell(SystemClock.now()).iter().map(|w| w.other_history).collect();
        told.sort_unstable();
        told
    };
    let seen = view.seen().unwrap();
    assert_eq!(say(Some(seen)), [false]);
    assert_eq!(say(None), [false, false]);
    // Of more than was read here nothing can be said yet.
    let more = Seen { size: seen.size + 1, root: Digest::of(b"another") };
    assert_eq!(say(Some(more)), [false, false, false]);
    assert_eq!(say(Some(Seen { root: Digest::of(b"another"), ..seen })), [false, false, false, true]);
    let alarms = stops.overdue(SystemClock.now());
    assert_eq!(alarms.len(), 1, "{alarms:?}");
    assert!(alarms[0].contains("had seen another history of the log: there are two, or the signer lies"), "{alarms:?}");
    let weighed = stops.weigh(view.facts()).1.unwrap().unwrap();
    assert_eq!(weighed.rejections(proposal).count(), 4, "it holds all the same");
}

/// What comes over the network is a stop that people signed, small and in time, and nothing else.
#[test]
fn the_door_takes_stops_alone() {
    let (world, _) = granted();
    let (address, stops) = agents(&world, 1).remove(0);
    let ask = |head: &str, body: &[u8]| {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let head =
            format!("{head} HTTP/1.1\r\nHost: agent\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes()).unwrap();
        // One that is refused for its size may be closed while it is still written.
        drop(stream.write_all(body));
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        String::from_utf8_lossy(&answer).split(' ').nth(1).unwrap_or("closed").to_owned()
    };
    for path in ["GET /state", "GET /stops", "PUT /table", "POST /statements"] {
        assert_eq!(ask(path, b""), "404", "{path}");
    }
    assert_eq!(ask("GET /stop", b""), "405");
    assert_eq!(ask("POST /stop", b"{}"), "400");
    assert!(["413", "closed"].contains(&ask("POST /stop", &vec![b' '; STOP_BYTES + 1]).as_str()));
    let forged = Claim::Halt(Halt { environment: None, reason: None });
    let speaker = Speaker::new(
        file_signer(&world.path("people/ada")).unwrap(),
        world.members.hash(),
        "operator".parse().unwrap(),
    );
    let envelope = speaker.sign(forged, About::default()).unwrap();
    let text = String::from_utf8(envelope.canonical_bytes()).unwrap();
    let submission = format!("{{\"envelope\":{text},\"bodies\":[]}}");
    assert_eq!(ask("POST /stop", submission.as_bytes()), "403");
    assert_eq!(stops.tell(SystemClock.now()), Vec::new());
}
