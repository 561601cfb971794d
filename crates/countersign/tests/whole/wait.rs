//! Waiting for a condition, with a limit.

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// Waits until `look` answers; panics with `what` and what `why` says when the limit is over.
pub(crate) fn wait_for<T>(
    what: &str,
    limit: Duration,
    why: impl Fn() -> String,
    mut look: impl FnMut() -> Option<T>,
) -> T {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "{what}: not within {} s\n{}", limit.as_secs(), why());
        std::thread::sleep(LOOK);
    }
}
