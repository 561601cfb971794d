//! Connections: TCP, and TLS on it.
//!
//! It refuses to know what is said over them.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use thiserror::Error;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use url::Url;

use crate::{scenario::Protocol, tally::Failure};

/// Where requests go.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// As in the `Host` header.
    pub(crate) authority: String,
    /// `http` or `https`.
    pub(crate) scheme: &'static str,
    address: SocketAddr,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

/// Why there is no target.
#[derive(Debug, Error)]
pub enum TargetError {
    /// Its name.
    #[error("`{host}` has no address")]
    Address {
        /// Which.
        host: String,
        /// Why.
        source: Option<io::Error>,
    },
    /// `https` without anybody to believe.
    #[error(
        "with `https`, `ca` in the scenario names the certificates that are believed, such as /etc/ssl/certs/ca-certificates.crt"
    )]
    NoCa,
    /// Certificates that can not be read.
    #[error("`{}` has no certificates: {why}", path.display())]
    Ca {
        /// Which file.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A name for which there can be no certificate.
    #[error("`{0}` can not have a certificate")]
    Name(String),
}

impl Target {
    /// Looks a target up, once for the whole run.
    pub(crate) fn find(url: &Url, protocol: Protocol, ca: Option<&Path>) -> Result<Self, TargetError> {
        let is_tls = url.scheme() == "https";
        let host = url.host_str().unwrap_or_default().to_owned();
        let found = url.socket_addrs(|| None);
        let address = match found {
            Ok(all) => all.into_iter().next().ok_or(TargetError::Address { host: host.clone(), source: None })?,
            Err(source) => return Err(TargetError::Address { host, source: Some(source) }),
        };
        let authority = url.port().map_or_else(|| host.clone(), |port| format!("{host}:{port}"));
        let tls = if is_tls {
            let name = host.trim_start_matches('[').trim_end_matches(']').to_owned();
            let name = ServerName::try_from(name).map_err(|_| TargetError::Name(host))?;
            Some((Arc::new(client(ca.ok_or(TargetError::NoCa)?, protocol)?), name))
        } else {
            None
        };
        Ok(Self { authority, scheme: if is_tls { "https" } else { "http" }, address, tls })
    }

    pub(crate) async fn connect(&self) -> Result<Io, Failure> {
        let stream = TcpStream::connect(self.address).await.map_err(|error| of_connecting(&error))?;
        stream.set_nodelay(true).map_err(|_| Failure::Connect)?;
        match &self.tls {
            None => Ok(Io::Plain(stream)),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                let stream = connector.connect(name.clone(), stream).await.map_err(|_| Failure::Tls)?;
                Ok(Io::Tls(Box::new(stream)))
            }
        }
    }
}

fn client(ca: &Path, protocol: Protocol) -> Result<ClientConfig, TargetError> {
    let no = |why: String| TargetError::Ca { path: ca.to_owned(), why };
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca).map_err(|e| no(e.to_string()))? {
        // What another program can not use either is left out, as is usual with bundles.
        let _added = roots.add(certificate.map_err(|e| no(e.to_string()))?);
    }
    if roots.is_empty() {
        return Err(no("none could be used".into()));
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|e| no(e.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![match protocol {
        Protocol::Http1 => b"http/1.1".to_vec(),
        Protocol::Http2 => b"h2".to_vec(),
    }];
    Ok(config)
}

fn of_connecting(error: &io::Error) -> Failure {
    use rustix::io::Errno;
    match error.raw_os_error().map(Errno::from_raw_os_error) {
        Some(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) => Failure::Ports,
        Some(Errno::MFILE | Errno::NFILE) => Failure::Files,
        _ => Failure::Connect,
    }
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Io {
    /// As it is.
    Plain(TcpStream),
    /// In TLS.
    Tls(Box<TlsStream<TcpStream>>),
}

impl AsyncRead for Io {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, to: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, to),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, to),
        }
    }
}

impl AsyncWrite for Io {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, from: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, from),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, from),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
