//! Somebody who signs statements and posts them to a log's own socket, as `front` and the processes do.

use std::path::Path;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use ledger::{
    bodies::Body,
    dsse::Envelope,
    keys::{PrivateKey, Scheme},
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Claim, Halt, Header, Nonce},
    },
};
use model::Timestamp;
use serde_json::{Value, json};

use crate::{
    installation::{Installation, charter_hash},
    request::{Answer, post_unix},
};

/// Far from now, and within what any charter allows a person.
const LIFE_S: u64 = 7 * 86_400;

/// A person with a key.
pub(crate) struct Speaker {
    key: PrivateKey,
    charter: model::Digest,
    person: &'static str,
}

/// A signed halt and its reason.
pub(crate) struct Said {
    pub(crate) envelope: Envelope,
    body: Option<Body>,
    person: &'static str,
}

impl Speaker {
    /// Olga, who operates.
    pub(crate) fn operator(it: &Installation) -> Self {
        let key = PrivateKey::read(Scheme::SshSig, &it.key("olga"), &mut || None).unwrap();
        Self { key, charter: charter_hash(&it.dir()).unwrap().parse().unwrap(), person: "olga" }
    }

    /// A halt, which is another statement each time, and its reason.
    pub(crate) fn halt(&self, reason: &str) -> Said {
        let body = Body::new(reason.as_bytes().to_vec()).unwrap();
        let mut nonce = [0; 16];
        nonce.copy_from_slice(&body.salt[..16]);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        let header = Header {
            charter: Some(self.charter),
            role: "operator".parse().unwrap(),
            system: None,
            environment: None,
            seen: None,
            nonce: Nonce::from_bytes(nonce),
            expires: Timestamp::from_unix(now + LIFE_S),
            program: None,
        };
        let claim = Claim::Halt(Halt { environment: None, reason: Some(body.commitment()) });
        let payload = Statement { header, claim }.to_bytes().unwrap();
        Said {
            envelope: Envelope::seal(PAYLOAD_TYPE, payload, &self.key).unwrap(),
            body: Some(body),
            person: self.person,
        }
    }
}

impl Said {
    /// The same of which only the statement is sent.
    pub(crate) fn without_its_reason(self) -> Self {
        Self { body: None, ..self }
    }

    /// Posts it to a log's socket.
    pub(crate) fn post(&self, socket: &Path) -> std::io::Result<Answer> {
        let envelope: Value = serde_json::from_slice(&self.envelope.canonical_bytes()).unwrap();
        let bodies: Vec<Value> = self
            .body
            .iter()
            .map(|body| {
                let salt: String = body.salt.iter().map(|byte| format!("{byte:02x}")).collect();
                let bytes = BASE64_STANDARD.encode(&body.bytes);
                json!({ "subject": format!("person:{}", self.person), "salt": salt, "body": bytes })
            })
            .collect();
        post_unix(socket, "/statements", &json!({ "envelope": envelope, "bodies": bodies }).to_string())
    }

    /// The index that a log promises for it, if it takes it.
    pub(crate) fn index_at(&self, socket: &Path) -> Option<u64> {
        let answer = self.post(socket).ok().filter(|answer| answer.status == 200)?;
        serde_json::from_slice::<Value>(&answer.body).ok()?["index"].as_u64()
    }
}
