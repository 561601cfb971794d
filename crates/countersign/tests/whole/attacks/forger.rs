//! What attackers with keys can sign: any statement, by any key of the installation, with any header.

use std::{path::PathBuf, sync::Arc};

use ledger::{
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Approval, Claim, Header, Kind, Nonce, Proposal},
    },
};
use model::{Digest, Timestamp};

use crate::{installation::Installation, request::ask};

/// An answer of the log's door, through `front`.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) status: u16,
    pub(crate) said: String,
}

impl Door {
    /// The log index of what was taken.
    pub(crate) fn index(&self) -> u64 {
        assert_eq!(self.status, 200, "not taken: {}", self.said);
        let answer: serde_json::Value = serde_json::from_str(&self.said).unwrap();
        answer["index"].as_u64().unwrap()
    }

    /// That it was refused for this.
    pub(crate) fn refused(&self, words: &str) {
        assert!(self.status >= 400, "taken: {}", self.said);
        assert!(self.said.contains(words), "wanted `{words}`, got {}: {}", self.status, self.said);
    }
}

impl Installation {
    /// A key of a person or of a process, as who has taken it over has it.
    pub(crate) fn stolen(&self, who: &str) -> Arc<PrivateKey> {
        let robot = self.dir().join("keys").join(format!("{who}.key"));
        let (scheme, path): (Scheme, PathBuf) =
            if robot.exists() { (Scheme::Ed25519, robot) } else { (Scheme::SshSig, self.key(who)) };
        Arc::new(PrivateKey::read(scheme, &path, &mut || None).unwrap())
    }

    /// A statement with a header as it should be, but for what `edit` makes of it.
    pub(crate) fn forged(&self, who: &str, role: &str, claim: Claim, edit: impl FnOnce(&mut Header)) -> Envelope {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).unwrap();
        let kind = claim.kind();
        let is_placed =
            matches!(kind, Kind::Approval | Kind::Proposal | Kind::Verdict | Kind::Milestone | Kind::Rejection);
        let is_general = matches!(kind, Kind::Tick | Kind::KeyWithdrawal | Kind::Amendment | Kind::Consent);
        let mut header = Header {
            charter: Some(self.charter()),
            role: role.parse().unwrap(),
            system: (!is_general).then(|| "visits".parse().unwrap()),
            environment: is_placed.then(|| "production".parse().unwrap()),
            seen: None,
            nonce: Nonce::from_bytes(nonce),
            expires: Timestamp::from_unix(now_s() + 3_600),
            program: None,
        };
        edit(&mut header);
        let payload = Statement { header, claim }.to_bytes().unwrap();
        Envelope::seal(PAYLOAD_TYPE, payload, &*self.stolen(who)).unwrap()
    }

    /// Hands bytes in as an envelope, as anybody who reaches `front` can.
    pub(crate) fn hand_in_text(&self, envelope: &str) -> Door {
        let body = format!("{{\"envelope\":{envelope},\"bodies\":[]}}");
        let answer = ask(self.front, "POST", "/log/statements", body.as_bytes()).unwrap();
        let door = Door { status: answer.status, said: String::from_utf8_lossy(&answer.body).into_owned() };
        if door.status == 200 {
            // Everybody who follows the log has it when this returns.
            let seen = ask(self.front, "GET", &format!("/log/wait/{}?ms=10000", door.index()), b"").unwrap();
            assert_eq!(seen.status, 200, "not cosigned: {}", door.said);
        }
        door
    }

    pub(crate) fn hand_in(&self, envelope: &Envelope) -> Door {
        self.hand_in_text(&String::from_utf8(envelope.canonical_bytes()).unwrap())
    }

    /// Signs and hands in.
    pub(crate) fn say(&self, who: &str, role: &str, claim: Claim) -> Door {
        self.hand_in(&self.forged(who, role, claim, |_| {}))
    }

    /// The hash of the charter, which every statement names.
    pub(crate) fn charter(&self) -> Digest {
        let text = std::fs::read_to_string(self.dir().join("charter.jsonl")).unwrap();
        let first = Envelope::parse(text.lines().next().unwrap().as_bytes()).unwrap();
        Digest::of(first.payload())
    }

    /// The newest claim of a kind for which `is` holds, as it was said.
    pub(crate) fn claim_of<C: serde::de::DeserializeOwned>(
        &self,
        kind: &str,
        is: impl Fn(&serde_json::Value) -> bool,
    ) -> (u64, C) {
        let (index, claim) = self.claims(kind).into_iter().rfind(|(_, claim)| is(claim)).unwrap();
        (index, serde_json::from_value(claim).unwrap())
    }
}

/// The yes that a person could sign to a proposal, shown something else than it says.
pub(crate) fn approval(index: u64, proposal: &Proposal) -> Approval {
    Approval {
        action: ledger::statement::v1::Action::Release,
        environment: proposal.environment.clone(),
        proposal: index,
        release: proposal.release,
        replaces: proposal.replaces,
        shown: Digest::of(b"something else"),
    }
}

pub(crate) fn now_s() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
