//! Addresses of an installation's components that no other installation of this machine has, whichever run of the tests it
//! is of: a lock on a file a number, which the kernel lets go of when its holder is gone.

use std::fs::File;

use nix::fcntl::{Flock, FlockArg};

/// Pairs of networks: 10.100 to 10.239, the agent's and the tester's.
const NUMBERS: u8 = 70;

/// A pair of networks, until it is dropped.
pub(crate) struct Fabric {
    number: u8,
    #[expect(dead_code, reason = "it is let go of when this ends")]
    held: Flock<File>,
}

impl Fabric {
    /// The first free pair from this number on.
    pub(crate) fn take(from: u8) -> Self {
        for number in (0..NUMBERS).map(|n| (from % NUMBERS + n) % NUMBERS) {
            let path = std::env::temp_dir().join(format!("countersign-test-fabric-{number}"));
            let file = File::options().create(true).truncate(false).write(true).open(path).unwrap();
            if let Ok(held) = Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                return Self { number, held };
            }
        }
        panic!("all {NUMBERS} pairs of networks are taken");
    }

    /// The first two bytes of the agent's network.
    pub(crate) const fn prefix(&self) -> [u8; 2] {
        [10, 100 + 2 * self.number]
    }
}
