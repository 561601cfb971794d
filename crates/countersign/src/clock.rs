//! The system's clock, the only place that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use model::{Clock, Timestamp};

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that turns the system's clock into a value")]
    fn now(&self) -> Timestamp {
        // A clock before 1970 reads as 1970: everything is then stale, and stale means no.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_unix(since.as_secs())
    }
}
