//! A package registry on loopback, so that the demo builds with real dependencies and no network.
//!
//! It serves a folder of `.crate` files over cargo's sparse protocol
//! (<https://doc.rust-lang.org/cargo/reference/registry-index.html>): the index is made from the manifests
//! inside. [`collect`] fills such a folder from what cargo has already downloaded. It does not know what is
//! built, never reaches any other registry, and trusts nothing: cargo checks every package against the lock
//! file of the project. Writes nothing but the folder that [`collect`] fills; a crash there leaves a torn file,
//! which the next [`collect`] replaces.

use std::{
    collections::BTreeMap,
    fs, io,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

mod collect;
mod index;
#[cfg(test)]
mod tests;

#[cfg(test)]
use collect::CollectError;
pub use collect::collect;
pub use index::PackageError;

/// A package is read into memory; the largest of the example's is 7 MiB.
const PACKAGE_MAX_BYTES: u64 = 64 * 1024 * 1024;
/// Folders with more are not a handful of dependencies.
const PACKAGES_MAX: usize = 4096;
/// Requests of cargo are some 300 bytes.
const REQUEST_MAX_BYTES: usize = 8 * 1024;
/// cargo opens a few; each takes a thread.
const CONNECTIONS_MAX: usize = 32;
/// cargo keeps connections between requests; after this long they are closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for the last thread to see that it should stop, when it waits for a request.
const STOP_TIMEOUT: Duration = Duration::from_millis(500);

/// A registry that is being served; stops when dropped.
#[derive(Debug)]
pub struct Registry {
    address: SocketAddr,
    packages: usize,
    stopping: Arc<AtomicBool>,
    door: Option<thread::JoinHandle<()>>,
}

/// Why a folder is not served.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The folder can not be read.
    #[error("the folder of packages `{folder}` can not be read")]
    Folder {
        /// Which.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is nothing to serve.
    #[error("the folder `{0}` holds no `.crate` file")]
    Empty(PathBuf),
    /// There is far more than an example needs.
    #[error("the folder `{0}` holds more than {PACKAGES_MAX} `.crate` files")]
    TooMany(PathBuf),
    /// One of the packages is not one.
    #[error("`{file}` is not a package that can be served")]
    Package {
        /// Which.
        file: PathBuf,
        /// Why.
        source: PackageError,
    },
    /// The address is taken, or not ours.
    #[error("can not listen on `{address}`")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
}

impl Registry {
    /// Reads every `.crate` file in `crates` and serves them at `address` (port 0 takes a free one) until the
    /// value is dropped.
    ///
    /// The index is at `sparse+http://ADDRESS/index/`, the packages at `/crates/NAME/VERSION.crate`.
    pub fn serve(crates: &Path, address: SocketAddr) -> Result<Self, RegistryError> {
        let listen = |source| RegistryError::Listen { address, source };
        let shelf = Shelf::read(crates)?;
        let listener = TcpListener::bind(address).map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let packages = shelf.packages.len();
        let stopping = Arc::new(AtomicBool::new(false));
        let door = {
            let (shelf, stopping) = (Arc::new(shelf), Arc::clone(&stopping));
            thread::Builder::new()
                .name("registry".to_owned())
                .spawn(move || accept(&listener, address, &shelf, &stopping))
                .map_err(listen)?
        };
        Ok(Self { address, packages, stopping, door: Some(door) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many packages it serves.
    pub fn packages(&self) -> usize {
        self.packages
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stopping.store(true, Ordering::SeqCst);
        // The door waits in accept; a connection of our own wakes it.
        drop(TcpStream::connect_timeout(&self.address, STOP_TIMEOUT));
        if let Some(door) = self.door.take()
            && door.join().is_err()
        {
            tracing::warn!("the registry's thread ended by a panic");
        }
    }
}

/// Everything that is served.
struct Shelf {
    /// By path below `/index/`.
    index: BTreeMap<String, Vec<u8>>,
    /// By path below `/crates/`.
    packages: BTreeMap<String, PathBuf>,
}

impl Shelf {
    fn read(folder: &Path) -> Result<Self, RegistryError> {
        let unread = |source| RegistryError::Folder { folder: folder.to_owned(), source };
        let mut shelf = Self { index: BTreeMap::new(), packages: BTreeMap::new() };
        for entry in fs::read_dir(folder).map_err(unread)? {
            let file = entry.map_err(unread)?.path();
            if file.extension().is_none_or(|e| e != "crate") {
                continue;
            }
            if shelf.packages.len() == PACKAGES_MAX {
                return Err(RegistryError::TooMany(folder.to_owned()));
            }
            let package = read_limited(&file)
                .map_err(PackageError::Io)
                .and_then(|bytes| index::read(&bytes))
                .map_err(|source| RegistryError::Package { file: file.clone(), source })?;
            // One line a version.
            shelf.index.entry(package.index_path()).or_default().extend_from_slice(&package.line);
            shelf.packages.insert(format!("{}/{}.crate", package.name, package.version), file);
        }
        if shelf.packages.is_empty() {
            return Err(RegistryError::Empty(folder.to_owned()));
        }
        Ok(shelf)
    }

    fn find(&self, path: &str, address: SocketAddr) -> Option<io::Result<Vec<u8>>> {
        if path == "/index/config.json" {
            let config = format!("{{\"dl\":\"http://{address}/crates/{{crate}}/{{version}}.crate\"}}\n");
            return Some(Ok(config.into_bytes()));
        }
        if let Some(path) = path.strip_prefix("/index/") {
            return self.index.get(path).map(|lines| Ok(lines.clone()));
        }
        self.packages.get(path.strip_prefix("/crates/")?).map(|file| read_limited(file))
    }
}

fn accept(listener: &TcpListener, address: SocketAddr, shelf: &Arc<Shelf>, stopping: &Arc<AtomicBool>) {
    let open = Arc::new(AtomicUsize::new(0));
    for connection in listener.incoming() {
        if stopping.load(Ordering::SeqCst) {
            return;
        }
        let stream = match connection {
            Ok(stream) if open.load(Ordering::SeqCst) < CONNECTIONS_MAX => stream,
            // Over the limit; cargo tries again.
            Ok(_) => continue,
            Err(error) => {
                tracing::warn!(%error, "the registry could not accept a connection");
                continue;
            }
        };
        open.fetch_add(1, Ordering::SeqCst);
        let (shelf, stopping, counted) = (Arc::clone(shelf), Arc::clone(stopping), Arc::clone(&open));
        let started = thread::Builder::new().name("registry-client".to_owned()).spawn(move || {
            if let Err(error) = converse(stream, address, &shelf, &stopping) {
                tracing::debug!(%error, "a client of the registry went away");
            }
            counted.fetch_sub(1, Ordering::SeqCst);
        });
        if let Err(error) = started {
            open.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!(%error, "the registry could not start a thread");
        }
    }
}

/// Answers the requests of one connection, one after the other.
fn converse(mut stream: TcpStream, address: SocketAddr, shelf: &Shelf, stopping: &AtomicBool) -> io::Result<()> {
    stream.set_read_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_write_timeout(Some(IDLE_TIMEOUT))?;
    stream.set_nodelay(true)?;
    let mut buffer = Vec::new();
    while let Some(head) = read_head(&mut stream, &mut buffer)? {
        if stopping.load(Ordering::SeqCst) {
            return Ok(());
        }
        let ends = head.to_ascii_lowercase().contains("\r\nconnection: close\r\n");
        let mut words = head.split(' ');
        let (status, body) = match (words.next(), words.next()) {
            (Some("GET"), Some(path)) => match shelf.find(path, address) {
                Some(Ok(body)) => ("200 OK", body),
                Some(Err(error)) => {
                    tracing::warn!(%error, path, "a package can no longer be read");
                    ("500 Internal Server Error", Vec::new())
                }
                None => ("404 Not Found", Vec::new()),
            },
            _ => ("405 Method Not Allowed", Vec::new()),
        };
        let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all(head.as_bytes())?;
        stream.write_all(&body)?;
        if ends {
            return Ok(());
        }
    }
    Ok(())
}

/// The request line and headers; `None` once the client has closed. Requests with a body are not expected.
fn read_head(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> io::Result<Option<String>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut chunk = [0; 1024];
    loop {
        if let Some(at) = buffer.windows(END.len()).position(|window| window == END) {
            let head: Vec<u8> = buffer.drain(..at + END.len()).collect();
            return Ok(Some(String::from_utf8_lossy(&head).into_owned()));
        }
        if buffer.len() > REQUEST_MAX_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "the request is too large"));
        }
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(None);
        }
        buffer.extend(chunk.iter().take(read));
    }
}

fn read_limited(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = fs::File::open(file)?.take(PACKAGE_MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if read as u64 > PACKAGE_MAX_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the file is too large for a package"));
    }
    Ok(bytes)
}
