//! A small client for ssh-agent (draft-ietf-sshm-ssh-agent): it lists the keys that we can use and asks for signatures.
//! For a key in hardware the agent talks to the device, and the person touches it.
//!
//! It never adds, removes or sees a private key. What it makes is SSHSIG in our own namespace, and it checks
//! every signature before passing it on.

use std::{
    env,
    io::{self, Read as _, Write as _},
    os::unix::net::UnixStream,
    path::PathBuf,
    time::Duration,
};

use model::KeyId;

use super::{PublicKey, SignError, Signer, sshsig, wire};

const FAILURE: u8 = 5;
const REQUEST_IDENTITIES: u8 = 11;
const IDENTITIES_ANSWER: u8 = 12;
const SIGN_REQUEST: u8 = 13;
const SIGN_RESPONSE: u8 = 14;

/// 256 KiB, the limit that OpenSSH's own agent keeps for a message.
const MESSAGE_LIMIT_BYTES: u32 = 256 * 1024;
/// A minute: an agent may ask a person to confirm; longer than that nobody is there.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the agent was of no use.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// No agent is running for this user.
    #[error(
        "no ssh-agent: `SSH_AUTH_SOCK` is not set; start one with `eval $(ssh-agent)` and add the key with `ssh-add`"
    )]
    NotRunning,
    /// The socket does not answer.
    #[error("can not talk to the ssh-agent at `{}`", .0.display())]
    Io(PathBuf, #[source] io::Error),
    /// It answered something that the protocol does not allow.
    #[error("the ssh-agent gave an answer that is not understood")]
    Protocol,
    /// It holds no such key.
    #[error("the ssh-agent does not hold key {0}; add it with `ssh-add`")]
    NoKey(KeyId),
    /// It refused to sign: locked, not confirmed, not touched, or the key is gone.
    #[error("the ssh-agent refused to sign; is it locked, was the security key touched in time, is it plugged in?")]
    Refused,
}

/// Where an agent listens.
#[derive(Clone, Debug)]
pub struct SshAgent {
    socket: PathBuf,
}

impl SshAgent {
    /// The agent at this socket.
    pub const fn at(socket: PathBuf) -> Self {
        Self { socket }
    }

    /// The agent of the environment (`SSH_AUTH_SOCK`).
    pub fn from_environment() -> Result<Self, AgentError> {
        match env::var_os("SSH_AUTH_SOCK") {
            Some(socket) if !socket.is_empty() => Ok(Self::at(socket.into())),
            _ => Err(AgentError::NotRunning),
        }
    }

    /// The keys that it holds and people sign with here, with their comments; keys of other kinds are left out.
    pub fn keys(&self) -> Result<Vec<(PublicKey, String)>, AgentError> {
        let answer = self.ask(&[REQUEST_IDENTITIES], IDENTITIES_ANSWER)?;
        let mut reader = wire::Reader::new(&answer);
        let count = reader.u32().ok_or(AgentError::Protocol)?;
        let mut keys = Vec::new();
        for _ in 0..count {
            let blob = reader.string().ok_or(AgentError::Protocol)?;
            let comment = reader.string().ok_or(AgentError::Protocol)?;
            if let Ok(key) = PublicKey::of_person_wire(blob) {
                keys.push((key, String::from_utf8_lossy(comment).into_owned()));
            }
        }
        Ok(keys)
    }

    /// A signer for the key with this id.
    pub fn signer(&self, id: KeyId) -> Result<AgentKey, AgentError> {
        let held = self.keys()?.into_iter().find(|(key, _)| key.id() == id);
        let (public, _) = held.ok_or(AgentError::NoKey(id))?;
        Ok(AgentKey { agent: self.clone(), public })
    }

    /// The signature with its type in front.
    fn sign_typed(&self, key: &PublicKey, data: &[u8]) -> Result<Vec<u8>, AgentError> {
        let mut request = vec![SIGN_REQUEST];
        wire::put_string(&mut request, &key.wire());
        wire::put_string(&mut request, data);
        request.extend_from_slice(&0_u32.to_be_bytes());
        let answer = self.ask(&request, SIGN_RESPONSE)?;
        let mut reader = wire::Reader::new(&answer);
        Ok(reader.string().ok_or(AgentError::Protocol)?.to_vec())
    }

    /// One question, one answer, one connection; returns what follows the answer's type.
    fn ask(&self, message: &[u8], wanted: u8) -> Result<Vec<u8>, AgentError> {
        let failed = |e| AgentError::Io(self.socket.clone(), e);
        let mut stream = UnixStream::connect(&self.socket).map_err(failed)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        stream.set_write_timeout(Some(ANSWER_TIMEOUT)).map_err(failed)?;
        let mut framed = Vec::with_capacity(message.len() + 4);
        wire::put_string(&mut framed, message);
        stream.write_all(&framed).map_err(failed)?;
        let mut length = [0; 4];
        stream.read_exact(&mut length).map_err(failed)?;
        let length = u32::from_be_bytes(length);
        if length == 0 || length > MESSAGE_LIMIT_BYTES {
            return Err(AgentError::Protocol);
        }
        let mut answer = Vec::new();
        stream.take(u64::from(length)).read_to_end(&mut answer).map_err(failed)?;
        match answer.split_first() {
            Some((kind, rest)) if *kind == wanted && answer.len() as u64 == u64::from(length) => Ok(rest.to_vec()),
            Some((&FAILURE, _)) => Err(AgentError::Refused),
            _ => Err(AgentError::Protocol),
        }
    }
}

/// A key inside an agent, or in hardware that the agent reaches; signs as SSHSIG.
#[derive(Debug)]
pub struct AgentKey {
    agent: SshAgent,
    public: PublicKey,
}

impl Signer for AgentKey {
    fn key(&self) -> &PublicKey {
        &self.public
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature = self.agent.sign_typed(&self.public, &sshsig::to_sign(message))?;
        let blob = sshsig::blob(&self.public.wire(), &signature);
        self.public.verify(message, &blob)?;
        Ok(blob)
    }
}
