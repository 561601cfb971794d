//! TLS in front: certificates and keys from PEM files, read when a table is applied.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use model::{
    Digest,
    route::{Protocol, TlsFiles},
};
use rustls::{
    RootCertStore, ServerConfig, ServerConnection,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
    server::{VerifierBuilderError, WebPkiClientVerifier},
};
use webpki::EndEntityCert;

use crate::files;

/// Application protocols in the order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

/// Why certificates can not be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The file can not be read, or is larger than 1 MiB.
    #[error("`{}` can not be read", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file is not PEM, or has nothing of the kind that is needed.
    #[error("`{}` has no {what} in PEM form", path.display())]
    Pem {
        /// Which file.
        path: PathBuf,
        /// What was looked for.
        what: &'static str,
        /// Why.
        #[source]
        source: Option<pem::Error>,
    },
    /// The certificates do not parse, or the key is another's.
    #[error("the certificate in `{}` and the key in `{}` can not be used together", certificates.display(), key.display())]
    Pair {
        /// The certificate file.
        certificates: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of clients do not parse.
    #[error("`{}` has an authority of clients that can not be used", path.display())]
    Authority {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: rustls::Error,
    },
    /// The authorities of clients make no verifier.
    #[error("the authorities in `{}` can not verify clients", path.display())]
    Verifier {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: VerifierBuilderError,
    },
}

/// Reads the files and makes of them what a listener needs. Blocks for as long as the files take.
pub(crate) fn load(files: &TlsFiles, protocol: Protocol) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificates_path, key_path) = (PathBuf::from(&files.certificates), PathBuf::from(&files.key));
    let chain = certificates(&certificates_path)?;
    let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|error| TlsError::Pem {
        path: key_path.clone(),
        what: "private key",
        source: Some(error),
    })?;
    let unusable = |source| TlsError::Pair { certificates: certificates_path.clone(), key: key_path.clone(), source };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &files.clients {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let path = PathBuf::from(path);
            let mut authorities = RootCertStore::empty();
            for authority in certificates(&path)? {
                authorities.add(authority).map_err(|source| TlsError::Authority { path: path.clone(), source })?;
            }
            // Without a certificate a client is known otherwise.
            let verifier = WebPkiClientVerifier::builder_with_provider(authorities.into(), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|source| TlsError::Verifier { path, source })?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    if protocol == Protocol::Http {
        config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    }
    Ok(Arc::new(config))
}

/// The key that the client proved to hold, as SHA-256 of its SubjectPublicKeyInfo.
pub(crate) fn client_key(connection: &ServerConnection) -> Option<Digest> {
    let certificate = EndEntityCert::try_from(connection.peer_certificates()?.first()?).ok()?;
    Some(Digest::of(&certificate.subject_public_key_info()))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let none = |source| TlsError::Pem { path: path.to_owned(), what: "certificate", source };
    let bytes = read(path)?;
    let chain: Vec<_> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|error| none(Some(error)))?;
    if chain.is_empty() { Err(none(None)) } else { Ok(chain) }
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    files::read(path).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}
