//! TLS in front: certificates and keys from PEM files, read when a table is applied.

use std::{path::PathBuf, sync::Arc};

use model::route::TlsFiles;
use rustls::{
    ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
};

/// Application protocols in the order of preference (RFC 7301).
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];
/// A certificate or key file, in bytes: chains of four with large keys are below 20 KiB.
const MAX_PEM_BYTES: u64 = 1024 * 1024;

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
}

/// Reads the files and makes of them what a listener needs. Blocks for as long as the files take.
pub(crate) fn load(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let (certificates_path, key_path) = (PathBuf::from(&files.certificates), PathBuf::from(&files.key));
    let bytes = read(&certificates_path)?;
    let no_certificate = |source| TlsError::Pem { path: certificates_path.clone(), what: "certificate", source };
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| no_certificate(Some(error)))?;
    if chain.is_empty() {
        return Err(no_certificate(None));
    }
    let key = PrivateKeyDer::from_pem_slice(&read(&key_path)?).map_err(|error| TlsError::Pem {
        path: key_path.clone(),
        what: "private key",
        source: Some(error),
    })?;
    let unusable = |source| TlsError::Pair { certificates: certificates_path.clone(), key: key_path.clone(), source };
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(unusable)?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(unusable)?;
    config.alpn_protocols = PROTOCOLS.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(Arc::new(config))
}

fn read(path: &PathBuf) -> Result<Vec<u8>, TlsError> {
    use std::io::Read;
    let failed = |source| TlsError::Read { path: path.clone(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut bytes = Vec::new();
    file.take(MAX_PEM_BYTES + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > MAX_PEM_BYTES {
        return Err(failed(std::io::ErrorKind::FileTooLarge.into()));
    }
    Ok(bytes)
}
