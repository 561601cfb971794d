//! Saying something: a header, a signature, and the log's receipt.

use std::sync::Arc;

use ledger::{
    bodies::SubjectBody,
    dsse::Envelope,
    keys::Signer,
    statement::{
        PAYLOAD_TYPE, Statement,
        v1::{Claim, Header, Nonce, Seen},
    },
};
use model::{Clock as _, Digest, EnvironmentName, RoleName, SystemName};

use crate::{
    clock::SystemClock,
    fault::{Because as _, Fault, Kind},
    log_client::{Appended, LogClient},
};

/// A robot's statements count for 30 days: what rests on them is decided again long before.
const LIFE_S: u64 = 30 * 86_400;

/// Who speaks, and in which role.
#[derive(Clone)]
pub struct Speaker {
    signer: Arc<dyn Signer>,
    charter: Digest,
    role: RoleName,
    program: Option<Digest>,
    life_s: u64,
}

/// What a statement is about, for its header.
#[derive(Clone, Debug, Default)]
pub struct About {
    /// The system, if it is about one.
    pub system: Option<SystemName>,
    /// The environment, if it is about one.
    pub environment: Option<EnvironmentName>,
    /// The last checkpoint that the speaker saw.
    pub seen: Option<Seen>,
    /// A nonce by which the same statement is known again; a random one if not given.
    pub nonce: Option<Nonce>,
}

impl Speaker {
    /// Somebody with a key, in a role.
    pub fn new(signer: Arc<dyn Signer>, charter: Digest, role: RoleName) -> Self {
        Self { signer, charter, role, program: program_digest(), life_s: LIFE_S }
    }

    /// The same with another lifetime of its statements.
    #[must_use]
    pub fn living(mut self, life_s: u64) -> Self {
        self.life_s = life_s;
        self
    }

    /// The signer, for documents beside the log.
    pub fn signer(&self) -> &dyn Signer {
        &*self.signer
    }

    /// The role.
    pub const fn role(&self) -> &RoleName {
        &self.role
    }

    /// Signs a claim.
    pub fn sign(&self, claim: Claim, about: About) -> Result<Envelope, Fault> {
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|e| Fault::new(Kind::Unavailable, format!("no random bytes: {e}")))?;
        let header = Header {
            charter: Some(self.charter),
            role: self.role.clone(),
            system: about.system,
            environment: about.environment,
            seen: about.seen,
            nonce: about.nonce.unwrap_or(Nonce::from_bytes(nonce)),
            expires: SystemClock.now().plus_s(self.life_s),
            program: self.program,
        };
        self.seal(&Statement { header, claim })
    }

    fn seal(&self, statement: &Statement) -> Result<Envelope, Fault> {
        let payload = statement.to_bytes().because(Kind::Internal, "the statement can not be written")?;
        Envelope::seal(PAYLOAD_TYPE, payload, &*self.signer)
            .because(Kind::Unavailable, "the statement can not be signed")
    }

    /// Signs a claim and puts it into the log with its bodies.
    pub fn say(&self, log: &LogClient, claim: Claim, about: About, bodies: &[SubjectBody]) -> Result<Appended, Fault> {
        let kind = claim.kind();
        let envelope = self.sign(claim, about)?;
        log.append(&envelope, bodies).map_err(|e| e.context(format!("the {kind} was not taken by the log")))
    }
}

/// The digest of the program that runs, once a process.
pub fn program_digest() -> Option<Digest> {
    static DIGEST: std::sync::OnceLock<Option<Digest>> = std::sync::OnceLock::new();
    *DIGEST.get_or_init(|| std::fs::read("/proc/self/exe").ok().map(|bytes| Digest::of(&bytes)))
}
