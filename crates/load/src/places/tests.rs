use super::*;

fn version(command: &str) -> Version {
    Version { name: "candidate", command: command.to_owned() }
}

#[test]
fn a_version_that_ends_at_once_is_told_with_its_words() {
    let [address, _] = Addresses::new().two().unwrap();
    let mut running = Running::start(&version("echo no database >&2; exit 3"), address).unwrap();
    let said = running.wait(Duration::from_secs(20)).unwrap_err().to_string();
    assert!(said.contains("no database") && said.contains("exit status: 3"), "{said}");
}

#[test]
fn a_version_that_does_not_listen_is_told_and_all_of_it_is_ended() {
    let [address, _] = Addresses::new().two().unwrap();
    // It does not hear SIGTERM in its second process.
    let mut running = Running::start(&version("echo starting; sleep 1000 & sleep 1000"), address).unwrap();
    let group = running.child.id();
    let said = running.wait(Duration::from_millis(50)).unwrap_err().to_string();
    assert!(said.contains("does not answer") && said.contains("starting"), "{said}");
    assert!(members(group).len() >= 2);
    drop(running);
    assert!(members(group).is_empty());
}

#[test]
fn processor_time_of_all_its_processes_is_counted() {
    let [address, _] = Addresses::new().two().unwrap();
    let busy = Running::start(&version("(while :; do :; done) & while :; do :; done"), address).unwrap();
    let idle = Running::start(&version("sleep 1000"), address).unwrap();
    let until = Instant::now() + Duration::from_secs(60);
    while busy.cpu_ns() < 200_000_000 {
        assert!(Instant::now() < until, "{}", busy.cpu_ns());
        std::thread::yield_now();
    }
    assert!(idle.cpu_ns() < busy.cpu_ns() / 2);
}

#[test]
fn what_prepares_a_block_must_succeed() {
    assert!(prepare("true").is_ok());
    assert!(matches!(prepare("exit 4"), Err(PlaceError::Prepare(status)) if status.code() == Some(4)));
}

#[test]
fn addresses_are_free_and_not_the_same_again() {
    let mut addresses = Addresses::new();
    let [one, other] = addresses.two().unwrap();
    let taken = TcpListener::bind(one).unwrap();
    let [third, fourth] = addresses.two().unwrap();
    let all = BTreeSet::from([one, other, third, fourth]);
    assert_eq!(all.len(), 4);
    assert!(all.iter().all(|a| PORTS.contains(&a.port())));
    // One that is taken is left out when they begin again.
    let mut again = Addresses { next: one.port() };
    assert_ne!(again.two().unwrap()[0], one);
    drop(taken);
}

#[test]
fn processor_time_of_threads_that_ended_is_not_lost() {
    let before = cpu_of(std::process::id());
    let spin = || {
        let (began, mut state) = (Instant::now(), 1_u64);
        while began.elapsed() < Duration::from_millis(200) {
            state = std::hint::black_box(state.wrapping_mul(31));
        }
    };
    std::thread::spawn(spin).join().unwrap();
    assert!(cpu_of(std::process::id()) > before + 20_000_000);
    assert_eq!(cpu_of(u32::MAX), 0);
}
