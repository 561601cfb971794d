//! kill -9 of every process at some moment of an upgrade: it goes on when it is started again, and ends well.

use std::time::{Duration, SystemTime};

use nix::sys::signal::Signal;

use crate::{
    installation::{Installation, LONG},
    traffic::Traffic,
    wait::wait_for,
};

/// Every process that works alone. A group is killed during one upgrade.
const VICTIMS: [&[&str]; 3] = [
    &["process builder", "executor builder sandbox", "process tester", "executor tester components", "process gate"],
    &["process log", "process agent", "executor agent components", "process edge", "executor tester sandbox"],
    &["process agent", "process front", "executor agent components", "process log", "process gate"],
];

/// From the push to the end of a drain takes about ten seconds; the kills are spread over them.
const SPREAD: Duration = Duration::from_secs(10);

#[test]
fn root_killing_any_process_during_an_upgrade_only_delays_it() {
    let mut chance = Chance::new();
    let mut it = Installation::start();
    it.first_release();
    let traffic = Traffic::start(it.exposed);
    for (round, victims) in (2..).zip(VICTIMS) {
        let serial = format!("visits-{round:06}");
        it.write("version", &serial);
        it.push(&format!("Version {round}"));
        std::thread::scope(|scope| {
            let (it, serial) = (&it, &serial);
            let moments: Vec<Duration> = victims.iter().map(|_| chance.below(SPREAD)).collect();
            for (victim, moment) in victims.iter().zip(moments) {
                scope.spawn(move || {
                    println!("{serial}: {victim} after {} ms", moment.as_millis());
                    wait_a_moment(moment);
                    it.signal(victim, Signal::SIGKILL);
                });
            }
            it.approve_at_last(serial);
            assert_eq!(it.wait_end(serial), "live", "{}", it.story());
        });
    }

    // The witness, and the supervisor with everything under it.
    it.write("version", "visits-000005");
    it.push("Version 5");
    it.kill_witness();
    it.start_witness();
    let moment = chance.below(SPREAD);
    println!("visits-000005: the supervisor after {} ms", moment.as_millis());
    std::thread::scope(|scope| {
        let it = &it;
        scope.spawn(move || {
            wait_a_moment(moment);
            it.signal("up", Signal::SIGKILL);
            wait_for(
                "the processes end with their supervisor",
                LONG,
                || it.story(),
                || {
                    (it.process("process log").is_none() && it.process("executor agent components").is_none())
                        .then_some(())
                },
            );
            it.up();
        });
        it.approve_at_last("visits-000005");
        assert_eq!(it.wait_end("visits-000005"), "live", "{}", it.story());
    });

    let seen = traffic.stop();
    let kept = it.kept();
    for name in &seen.kept {
        assert_eq!(kept.get(name), Some(&1), "{name} was acknowledged; {} requests failed", seen.failed.len());
    }
    for serial in 1..=5 {
        let serial = format!("visits-{serial:06}");
        let live = it.milestones(&serial).iter().filter(|m| *m == "live").count();
        assert_eq!(live, 1, "{serial}: {:?}", it.milestones(&serial));
    }
    it.ok(&["audit"]);
}

/// Moments by lot, from a seed that is printed.
struct Chance(u64);

impl Chance {
    fn new() -> Self {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        let seed = u64::from(now.subsec_nanos()) | 1;
        println!("seed {seed}");
        Self(seed)
    }

    /// A duration below this one (xorshift64).
    fn below(&mut self, limit: Duration) -> Duration {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        Duration::from_millis(self.0 % u64::try_from(limit.as_millis()).unwrap())
    }
}

/// Not for a condition: the random moment is what is being tried, and any of them must do.
fn wait_a_moment(moment: Duration) {
    std::thread::sleep(moment);
}
