use super::*;

/// Longer than a beat on a busy machine.
const LIMIT: Duration = Duration::from_secs(10);

#[test]
fn a_process_is_seen_to_live_and_to_stop_whatever_the_clocks_say() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("heartbeat");
    let mut pulse = Pulse::new(path.clone());
    assert!(!pulse.is_silent() && !pulse.is_settled(), "it may still start");
    let beating = Beating::start(&path).unwrap();
    wait_until(|| {
        pulse.silent_for();
        pulse.is_settled()
    });
    assert!(!pulse.is_silent());
    drop(beating);
    wait_until(|| pulse.is_silent());
    // A file of long ago or of the time to come is no sign of life while it stays as it is.
    for at in [SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH + Duration::from_secs(1 << 33)] {
        File::options().write(true).open(&path).unwrap().set_modified(at).unwrap();
        assert!(!pulse.is_silent(), "it was written");
        wait_until(|| pulse.is_silent());
    }
}

fn wait_until(mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline);
        std::thread::sleep(Duration::from_millis(10));
    }
}
