//! The files of the system that installations release.

/// The system's files, as a user's repository has them.
pub(crate) const FILES: [(&str, &str); 11] = [
    ("countersign.toml", include_str!("system/countersign.toml")),
    ("make.sh", include_str!("system/make.sh")),
    ("counter.sh", include_str!("system/counter.sh")),
    ("list.sh", include_str!("system/list.sh")),
    ("well.sh", include_str!("system/well.sh")),
    ("greedy.sh", include_str!("system/greedy.sh")),
    ("web.sh", include_str!("system/web.sh")),
    ("account.sh", include_str!("system/account.sh")),
    ("health", include_str!("system/health")),
    ("unit/run.sh", include_str!("system/unit/run.sh")),
    ("e2e/test_visits.py", include_str!("system/e2e/test_visits.py")),
];
