//! Policy files (C2SP tlog-policy) and a witness's lists of logs.

use ledger::{
    note::NoteKeyType,
    tlog_policy::{TlogPolicy, TlogPolicyError},
    witness::parse_list,
};

use crate::fixed;

/// A policy prints as one that says the same, and no checkpoint satisfies it that a log of it has not signed.
pub fn run(data: &[u8]) {
    if let Ok(policy) = TlogPolicy::parse(data) {
        let printed = policy.to_string();
        assert_eq!(TlogPolicy::parse(printed.as_bytes()).as_ref(), Ok(&policy), "what is written can be read");
        let text = format!("{}\n1\nAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n", fixed::ORIGIN);
        let has_log = policy.logs().iter().any(|log| log.vkey == *fixed::log_signer().vkey());
        match policy.open(fixed::signed(&text).as_bytes()) {
            Ok(checkpoint) => {
                assert!(has_log, "a log that is not in the policy");
                // Nobody has cosigned, so only a policy without a quorum is satisfied.
                assert_eq!(policy.cosigned(&checkpoint).map(|c| c.len()), Ok(0));
                assert!(printed.contains("quorum none"), "nobody is no quorum");
            }
            Err(TlogPolicyError::Log(_)) => assert!(!has_log),
            Err(TlogPolicyError::Quorum(_)) => assert!(has_log),
            Err(TlogPolicyError::Cosignature(_)) => panic!("there is no cosignature"),
        }
    }
    if let Ok(logs) = parse_list(data) {
        for (place, log) in logs.iter().enumerate() {
            assert!(!log.keys().is_empty() && !log.origin().is_empty());
            assert!(log.keys().iter().all(|key| key.key_type() == NoteKeyType::Ed25519), "a witness is no log");
            assert!(!logs[..place].iter().any(|other| other.origin() == log.origin()), "one log an origin");
        }
    }
}
