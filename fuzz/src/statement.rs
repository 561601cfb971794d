//! Statements: the payloads of envelopes, and what a charter makes of who signed them.

use ledger::statement::{Members, PAYLOAD_TYPE, Statement, v1::Claim};
use model::{Digest, KeyId};

use crate::fixed;

/// A statement has one form; a charter that is read can be asked about any signer.
pub fn run(data: &[u8]) {
    let Ok(statement) = Statement::from_bytes(data) else { return };
    assert_eq!(statement.to_bytes().ok().as_deref(), Some(data), "a statement has one form");
    assert!(!statement.is_live_at(statement.header.expires), "it has expired when it expires");
    drop(Members::check_expiry(&statement, fixed::NOW));
    if let Claim::Charter(charter) = &statement.claim
        && let Ok(members) = Members::of((**charter).clone(), Digest::of(data))
    {
        assert!(members.entitle(&statement, KeyId::of_wire(data)).is_err(), "a stranger may say nothing");
        for (id, signatory) in members.keys() {
            if let Ok(entitled) = members.entitle(&statement, id) {
                assert_eq!(*entitled, *signatory);
            }
        }
        drop(ledger::reader::keys_of(charter));
        drop(ledger::tick::open(&fixed::signed("log.example\n1\nAA==\n"), charter));
        // Unsigned, nothing gets past the door.
        if let Some((id, _)) = members.keys().next()
            && let Ok(envelope) = ledger::dsse::Envelope::from_parts(PAYLOAD_TYPE, data.to_vec(), id, vec![0; 64])
        {
            assert!(ledger::statement::open(&envelope, &members).is_err(), "a signature is needed");
        }
    }
}
