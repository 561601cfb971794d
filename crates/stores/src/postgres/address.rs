//! Where a PostgreSQL is and how it is spoken to: a URL as `libpq` has it, with two keys that keep secrets and trust in
//! files.
//!
//! Names are looked up and files are read once, here, so that a process may confine itself afterwards and still connect
//! again. It refuses passwords in the URL (a URL is printed and listed) and every way to speak over TCP that a network
//! could turn into plain text.

use std::{
    fs, io,
    net::{IpAddr, ToSocketAddrs as _},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use postgres::{
    Config, NoTls,
    config::{Host, SslMode},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};
use tokio_postgres_rustls::MakeRustlsConnect;

/// Where distributions keep the certificates that they trust: Debian and Ubuntu, Fedora, Alpine.
const SYSTEM_CERTIFICATES: [&str; 3] =
    ["/etc/ssl/certs/ca-certificates.crt", "/etc/pki/tls/certs/ca-bundle.crt", "/etc/ssl/cert.pem"];
/// Five seconds: a server that has not answered by then is down.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A peer that is gone is noticed after ten seconds of silence, and of unanswered sending.
const SILENCE_LIMIT: Duration = Duration::from_secs(10);

/// A database to keep a log in. Printed without its password.
#[derive(Clone)]
pub struct Address {
    config: Config,
    tls: Option<MakeRustlsConnect>,
    shown: String,
}

/// Why an address can not be used.
#[derive(Debug, thiserror::Error)]
pub enum AddressError {
    /// Not a `postgres://` URL.
    #[error("`{0}` is not an address such as postgres://user@host/database")]
    Malformed(String),
    /// What `libpq` calls its parameters is not understood.
    #[error("the address of the database is not understood")]
    Parameter(#[source] postgres::Error),
    /// A password stands in the URL.
    #[error(
        "an address with a password in it would be seen by everybody; put it in a file and name that with `password-file=`"
    )]
    Password,
    /// An `sslmode` that a network could turn into plain text.
    #[error("`sslmode={0}` does not protect: use `verify-full`, or `disable` on this host")]
    SslMode(String),
    /// `sslmode=disable` over a network.
    #[error(
        "with `sslmode=disable` the host must be this one (`127.0.0.1`), and `{0}` is not; use `verify-full`, a Unix socket, or a tunnel that ends here"
    )]
    PlainText(IpAddr),
    /// Unix sockets and hosts in one address.
    #[error("an address names Unix sockets or hosts, not both")]
    Mixed,
    /// A file can not be read.
    #[error("`{}` can not be read", .0.display())]
    File(PathBuf, #[source] io::Error),
    /// No trusted certificates.
    #[error("no certificates to trust are found in `{0}`; name a file with `sslrootcert=`")]
    Certificates(String),
    /// TLS can not be set up.
    #[error("TLS can not be used")]
    Tls(#[from] rustls::Error),
    /// The host's name is not known.
    #[error("the host `{0}` is not found")]
    Host(String, #[source] Option<io::Error>),
}

impl Address {
    /// Reads an address: `postgres://user@host:port/database?sslmode=verify-full&sslrootcert=FILE&password-file=FILE`, or
    /// with a Unix socket `postgres:///database?host=/run/postgresql&user=…`.
    ///
    /// `sslmode` is `verify-full` over TCP unless it says `disable` (`require` means the same here, because nothing is
    /// taken without verifying it); `sslrootcert` is the system's certificates unless it names a file.
    ///
    /// # Errors
    /// [`AddressError`].
    pub fn parse(url: &str) -> Result<Self, AddressError> {
        let (base, query) = url.split_once('?').unwrap_or((url, ""));
        if !["postgres://", "postgresql://"].iter().any(|scheme| base.starts_with(scheme)) {
            return Err(AddressError::Malformed(crate::without_secrets(url).chars().take(160).collect()));
        }
        let (mut mode, mut roots, mut password, mut rest) = (None, None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            match pair.split_once('=') {
                Some(("sslmode", value)) => mode = Some(value.to_owned()),
                Some(("sslrootcert", value)) => roots = Some(PathBuf::from(unescaped(value))),
                Some(("password-file", value)) => password = Some(PathBuf::from(unescaped(value))),
                _ => rest.push(pair),
            }
        }
        let plain = if rest.is_empty() { base.to_owned() } else { format!("{base}?{}", rest.join("&")) };
        let mut config: Config = plain.parse().map_err(AddressError::Parameter)?;
        if config.get_password().is_some() {
            return Err(AddressError::Password);
        }
        if let Some(path) = password {
            let text = fs::read_to_string(&path).map_err(|e| AddressError::File(path, e))?;
            config.password(text.trim_end_matches(['\n', '\r']));
        }
        resolve(&mut config)?;
        let over_tcp = config.get_hosts().iter().any(|host| matches!(host, Host::Tcp(_)));
        if over_tcp && config.get_hosts().iter().any(|host| matches!(host, Host::Unix(_))) {
            return Err(AddressError::Mixed);
        }
        let tls = match mode.as_deref() {
            Some("disable") => match config.get_hostaddrs().iter().find(|address| !address.is_loopback()) {
                Some(address) => return Err(AddressError::PlainText(*address)),
                None => None,
            },
            None | Some("verify-full" | "require") if over_tcp => Some(trusting(roots)?),
            None => None,
            Some(other) => return Err(AddressError::SslMode(other.to_owned())),
        };
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.application_name("countersign");
        config.connect_timeout(CONNECT_TIMEOUT).tcp_user_timeout(SILENCE_LIMIT);
        config.keepalives(true).keepalives_idle(SILENCE_LIMIT / 2).keepalives_retries(2);
        config.keepalives_interval(SILENCE_LIMIT / 4);
        Ok(Self { config, tls, shown: url.to_owned() })
    }

    /// The TCP ports that connections go to, for confinement; none where there are only Unix sockets.
    pub fn ports(&self) -> Vec<u16> {
        if self.config.get_hosts().iter().all(|host| matches!(host, Host::Unix(_))) {
            return Vec::new();
        }
        let ports = self.config.get_ports();
        if ports.is_empty() { vec![5432] } else { ports.to_vec() }
    }

    pub(super) fn connect(&self) -> Result<postgres::Client, postgres::Error> {
        match &self.tls {
            Some(tls) => self.config.connect(tls.clone()),
            None => self.config.connect(NoTls),
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.shown)
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Address({self})")
    }
}

/// Looks names up now; certificates are still checked against the names.
fn resolve(config: &mut Config) -> Result<(), AddressError> {
    if !config.get_hostaddrs().is_empty() {
        return Ok(());
    }
    if config.get_hosts().is_empty() {
        return Err(AddressError::Host(String::new(), None));
    }
    let mut found: Vec<IpAddr> = Vec::new();
    for host in config.get_hosts() {
        match host {
            // A list of addresses goes with a list of hosts; where a socket is among them, names stay names, and are not
            // known to be this host: see `AddressError::Mixed`.
            Host::Unix(_) => return Ok(()),
            Host::Tcp(name) => {
                let addresses = (name.as_str(), 0).to_socket_addrs();
                let first = addresses.map_err(|e| AddressError::Host(name.clone(), Some(e)))?.next();
                found.push(first.ok_or_else(|| AddressError::Host(name.clone(), None))?.ip());
            }
        }
    }
    for address in found {
        config.hostaddr(address);
    }
    Ok(())
}

/// TLS that trusts the authorities of a file, or those of the system.
fn trusting(file: Option<PathBuf>) -> Result<MakeRustlsConnect, AddressError> {
    let path = file.unwrap_or_else(|| {
        let system = SYSTEM_CERTIFICATES.iter().map(PathBuf::from).find(|path| path.is_file());
        system.unwrap_or_else(|| PathBuf::from(SYSTEM_CERTIFICATES[0]))
    });
    let pem = fs::read(&path).map_err(|e| AddressError::File(path.clone(), e))?;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
    if roots.is_empty() {
        return Err(AddressError::Certificates(path.display().to_string()));
    }
    let config = rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

/// `%2F` and the like, as URLs have them.
fn unescaped(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%').then(|| after.split_at_checked(2)).flatten();
        let byte = escaped.and_then(|(digits, after)| {
            let digits = std::str::from_utf8(digits).ok()?;
            Some((u8::from_str_radix(digits, 16).ok()?, after))
        });
        let (byte, after) = byte.unwrap_or((*first, after));
        bytes.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests;
