//! A FIDO security key in software, and an ssh-agent that holds it: for tests, where nobody can touch anything.
//!
//! It signs as openssh-portable `PROTOCOL.u2f` and `PROTOCOL.sshsig` say, with code of its own, so that what the ledger
//! verifies is not what the ledger wrote. Each part of what it says can be set wrong. The agent ends when it is dropped.

use std::{
    io::{self, Read as _, Write as _},
    os::unix::net::{UnixListener, UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread::JoinHandle,
};

use ed25519_dalek::Signer as _;
use ledger::keys::Algorithm;
use model::Digest;

/// `ssh-keygen -t ed25519-sk` makes keys for this application, unless told otherwise.
pub const APPLICATION: &str = "ssh:";
/// Touched, in the flags of a signature.
pub const TOUCHED: u8 = 1;
/// 256 KiB, the limit that OpenSSH's own agent keeps for a message.
const MESSAGE_LIMIT_BYTES: u32 = 256 * 1024;

/// The private half, inside the device.
#[derive(Clone)]
enum Inside {
    Ed25519(ed25519_dalek::SigningKey),
    P256(p256::ecdsa::SigningKey),
}

/// What it says and how; the defaults are what a good device does.
#[derive(Clone, Debug)]
pub struct Says {
    /// The flags of the signature.
    pub flags: u8,
    /// Its counter.
    pub counter: u32,
    /// The application that it signs for.
    pub application: String,
}

impl Default for Says {
    fn default() -> Self {
        Self { flags: TOUCHED, counter: 7, application: APPLICATION.to_owned() }
    }
}

/// The device with one key.
#[derive(Clone)]
pub struct SecurityKey {
    inside: Inside,
    application: String,
}

impl SecurityKey {
    /// A device with the key of this kind and number, made for an application. `None` for a kind that is in no hardware.
    pub fn new(algorithm: Algorithm, number: u8, application: &str) -> Option<Self> {
        let seed = Digest::of(&[number]);
        let inside = match algorithm {
            Algorithm::Ed25519 => return None,
            Algorithm::SkEd25519 => Inside::Ed25519(ed25519_dalek::SigningKey::from_bytes(seed.as_bytes())),
            Algorithm::SkEcdsaP256 => Inside::P256(p256::ecdsa::SigningKey::from_slice(seed.as_bytes()).ok()?),
        };
        Some(Self { inside, application: application.to_owned() })
    }

    fn name(&self) -> &'static str {
        match self.inside {
            Inside::Ed25519(_) => "sk-ssh-ed25519@openssh.com",
            Inside::P256(_) => "sk-ecdsa-sha2-nistp256@openssh.com",
        }
    }

    /// The public half in SSH wire form.
    pub fn wire(&self) -> Vec<u8> {
        match &self.inside {
            Inside::Ed25519(key) => {
                strings(&[self.name().as_bytes(), key.verifying_key().as_bytes(), self.application.as_bytes()])
            }
            Inside::P256(key) => strings(&[
                self.name().as_bytes(),
                b"nistp256",
                key.verifying_key().to_sec1_point(false).as_bytes(),
                self.application.as_bytes(),
            ]),
        }
    }

    /// What the device makes of a message: type, signature, flags and counter.
    pub fn signature(&self, message: &[u8], says: &Says) -> Vec<u8> {
        let mut signed = Digest::of(says.application.as_bytes()).as_bytes().to_vec();
        signed.push(says.flags);
        signed.extend(says.counter.to_be_bytes());
        signed.extend(Digest::of(message).as_bytes());
        let made = match &self.inside {
            Inside::Ed25519(key) => key.sign(&signed).to_bytes().to_vec(),
            Inside::P256(key) => {
                let pair: p256::ecdsa::Signature = p256::ecdsa::signature::Signer::sign(key, &signed);
                let (r, s) = pair.split_bytes();
                strings(&[&positive(&r), &positive(&s)])
            }
        };
        let mut out = strings(&[self.name().as_bytes(), &made]);
        out.push(says.flags);
        out.extend(says.counter.to_be_bytes());
        out
    }

    /// An SSHSIG blob over a message in a namespace.
    pub fn sshsig(&self, namespace: &str, message: &[u8], says: &Says) -> Vec<u8> {
        let hash = Digest::of(message);
        let fields = strings(&[namespace.as_bytes(), b"", b"sha256", hash.as_bytes()]);
        let signature = self.signature(&[b"SSHSIG".as_slice(), &fields].concat(), says);
        wrapped(&self.wire(), namespace, &signature)
    }
}

/// The blob around a key in wire form and a signature with its type in front, over a SHA-256 hash.
pub fn wrapped(key: &[u8], namespace: &str, signature: &[u8]) -> Vec<u8> {
    [b"SSHSIG\0\0\0\x01".as_slice(), &strings(&[key, namespace.as_bytes(), b"", b"sha256", signature])].concat()
}

/// Strings of SSH wire form, one after the other (RFC 4251 section 5).
pub fn strings(parts: &[&[u8]]) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        out.extend(u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// A positive `mpint`.
fn positive(number: &[u8]) -> Vec<u8> {
    let digits: Vec<u8> = number.iter().copied().skip_while(|digit| *digit == 0).collect();
    let is_signed = digits.first().is_some_and(|digit| digit & 0x80 != 0);
    if is_signed { [vec![0], digits].concat() } else { digits }
}

/// An ssh-agent with one key in hardware. Somebody touches it each time, or nobody does.
pub struct Agent {
    socket: PathBuf,
    ends: Arc<AtomicBool>,
    signed: Arc<AtomicU32>,
    serving: Option<JoinHandle<()>>,
}

impl Agent {
    /// Starts one that listens here.
    pub fn start(socket: &Path, key: SecurityKey, is_touched: bool) -> io::Result<Self> {
        let listener = UnixListener::bind(socket)?;
        let ends = Arc::new(AtomicBool::new(false));
        let signed = Arc::new(AtomicU32::new(0));
        let serving = std::thread::spawn({
            let (ends, signed) = (ends.clone(), signed.clone());
            move || {
                for stream in listener.incoming() {
                    if ends.load(Ordering::SeqCst) {
                        return;
                    }
                    // Whoever hangs up or talks nonsense gets nothing more; the next one is served.
                    if let Ok(stream) = stream {
                        drop(serve(stream, &key, is_touched, &signed));
                    }
                }
            }
        });
        Ok(Self { socket: socket.to_owned(), ends, signed, serving: Some(serving) })
    }

    /// How many signatures it has made.
    pub fn signed(&self) -> u32 {
        self.signed.load(Ordering::SeqCst)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        self.ends.store(true, Ordering::SeqCst);
        drop(UnixStream::connect(&self.socket));
        if let Some(serving) = self.serving.take() {
            drop(serving.join());
        }
    }
}

/// Answers until the other side hangs up (draft-ietf-sshm-ssh-agent).
fn serve(mut stream: UnixStream, key: &SecurityKey, is_touched: bool, signed: &AtomicU32) -> io::Result<()> {
    loop {
        let mut length = [0; 4];
        stream.read_exact(&mut length)?;
        let length = u32::from_be_bytes(length);
        if length > MESSAGE_LIMIT_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let mut message = vec![0; usize::try_from(length).unwrap_or_default()];
        stream.read_exact(&mut message)?;
        let answer = match message.split_first() {
            Some((11, [])) => [vec![12, 0, 0, 0, 1], strings(&[&key.wire(), b"a security key"])].concat(),
            Some((13, rest)) if is_touched => match parts(rest) {
                Some((wanted, data)) if wanted == key.wire() => {
                    let counter = signed.fetch_add(1, Ordering::SeqCst).saturating_add(1);
                    let says = Says { counter, application: key.application.clone(), ..Says::default() };
                    [vec![14], strings(&[&key.signature(data, &says)])].concat()
                }
                _ => vec![5],
            },
            _ => vec![5],
        };
        stream.write_all(&strings(&[&answer]))?;
    }
}

/// The first two strings.
fn parts(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let string = |bytes: &mut &[u8]| -> Option<usize> {
        let (length, rest) = bytes.split_first_chunk::<4>()?;
        *bytes = rest;
        usize::try_from(u32::from_be_bytes(*length)).ok()
    };
    let mut rest = bytes;
    let length = string(&mut rest)?;
    let (first, after) = rest.split_at_checked(length)?;
    rest = after;
    let length = string(&mut rest)?;
    Some((first, rest.get(..length)?))
}

#[cfg(test)]
mod tests;
