//! Blobs in any S3-compatible store, through `object_store`.
//!
//! A put is made on the condition that nothing has the name (`If-None-Match: *`, RFC 9110 section 13.1.2), so an object is
//! never overwritten. The store's answer is taken as its word that the bytes are kept: what it does with its disks is
//! its operator's. A crash in the middle leaves the name with whole bytes or without any; that is what S3 promises.
//!
//! [`Blobs`] waits, and `object_store` does not: a small runtime of its own runs underneath. It must not be called from
//! within another runtime's asynchronous code, as no waiting call may be.

use std::{net::IpAddr, sync::Once, time::Duration};

use ledger::blobs::{BLOB_LIMIT_BYTES, BlobError, BlobName, Blobs};
use object_store::{
    BackoffConfig, Certificate, ClientOptions, Error, ObjectStore as _, ObjectStoreExt as _, PutMode, PutOptions,
    RetryConfig,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut},
    list::{PaginatedListOptions, PaginatedListStore as _},
    path::Path,
};
use reqwest::Url;
use tokio::runtime::Runtime;

/// Five seconds: a store that is there answers a connection in far less.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Twenty seconds for one request: 17 MiB, the largest blob, over 10 Mbit/s.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(20);
/// Two more tries: enough for a server that is being replaced. Whoever appends tries again anyway.
const RETRIES: usize = 2;
/// No further try is begun after 25 seconds: whoever appends waits 30.
const RETRY_LIMIT: Duration = Duration::from_secs(25);
/// Between tries: from a tenth of a second to two.
const PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Two threads: requests wait on the network, not on a core.
const THREADS: usize = 2;
/// S3 lists at most so many names an answer (Amazon S3 API, `ListObjectsV2`).
const PAGE: usize = 1000;

/// Where a store is and how to get in. It does not print its keys.
pub struct S3Place {
    /// The bucket.
    pub bucket: String,
    /// What names begin with, without `/` at either end; empty for nothing.
    pub prefix: String,
    /// The store's URL, such as `https://s3.example.org:9000`.
    pub endpoint: String,
    /// The region that requests are signed for.
    pub region: String,
    /// The access key.
    pub access_key: String,
    /// The secret key.
    pub secret_key: String,
    /// Certificates (PEM) of the authorities that may vouch for the store, instead of the system's.
    pub authorities: Option<Vec<u8>>,
    /// Allows `http://` to other machines. The bodies are encrypted; their number and sizes show, and whoever is in
    /// between can drop them.
    pub plain_http: bool,
}

/// Why a store can not be used.
#[derive(Debug, thiserror::Error)]
pub enum S3PlaceError {
    /// The endpoint is no URL of a server.
    #[error("`{0}` is not the URL of a store, such as `https://s3.example.org`")]
    Endpoint(String),
    /// Without TLS to another machine.
    #[error("`{0}` is not encrypted, and not on this machine")]
    PlainHttp(String),
    /// The prefix is no path.
    #[error("`{0}` can not be in front of names")]
    Prefix(String),
    /// The certificates do not parse.
    #[error("the certificates of the authorities do not hold up")]
    Authorities(#[source] Error),
    /// The client can not be made.
    #[error("no client for the store can be made")]
    Client(#[source] Error),
    /// The system gives no threads.
    #[error("no runtime for the store's client")]
    Runtime(#[source] std::io::Error),
}

impl S3Place {
    /// The port that must be reached.
    pub fn port(&self) -> Result<u16, S3PlaceError> {
        self.url()?.port_or_known_default().ok_or_else(|| S3PlaceError::Endpoint(self.endpoint.clone()))
    }

    /// Whether a name server must be asked for the endpoint.
    pub fn has_name(&self) -> Result<bool, S3PlaceError> {
        Ok(self.address()?.is_none())
    }

    fn url(&self) -> Result<Url, S3PlaceError> {
        let url = Url::parse(&self.endpoint).ok().filter(|u| matches!(u.scheme(), "http" | "https") && u.has_host());
        url.ok_or_else(|| S3PlaceError::Endpoint(self.endpoint.clone()))
    }

    fn address(&self) -> Result<Option<IpAddr>, S3PlaceError> {
        let url = self.url()?;
        let host = url.host_str().unwrap_or_default();
        Ok(host.trim_start_matches('[').trim_end_matches(']').parse().ok())
    }
}

/// Blobs in a bucket.
pub struct S3Blobs {
    store: AmazonS3,
    prefix: String,
    place: String,
    /// Taken when it is dropped: a runtime may not be waited for inside another.
    runtime: Option<Runtime>,
}

impl S3Blobs {
    /// Opens the store; nothing is asked of it yet. The bucket must be there.
    pub fn open(place: &S3Place) -> Result<Self, S3PlaceError> {
        let url = place.url()?;
        let is_plain = url.scheme() == "http";
        // Only an address is known to be this machine: a name may lead anywhere tomorrow.
        let is_here = place.address()?.is_some_and(|a| a.is_loopback());
        if is_plain && !is_here && !place.plain_http {
            return Err(S3PlaceError::PlainHttp(place.endpoint.clone()));
        }
        let prefix = Path::parse(&place.prefix).map_err(|_| S3PlaceError::Prefix(place.prefix.clone()))?;
        install_provider();
        let mut client = ClientOptions::new()
            .with_allow_http(is_plain)
            .with_connect_timeout(CONNECT_TIMEOUT)
            .with_timeout(REQUEST_TIMEOUT);
        if let Some(pem) = &place.authorities {
            client = client.with_no_system_certificates(true);
            for certificate in Certificate::from_pem_bundle(pem).map_err(S3PlaceError::Authorities)? {
                client = client.with_root_certificate(certificate);
            }
        }
        let store = AmazonS3Builder::new()
            .with_endpoint(place.endpoint.trim_end_matches('/'))
            .with_region(&place.region)
            .with_bucket_name(&place.bucket)
            .with_access_key_id(&place.access_key)
            .with_secret_access_key(&place.secret_key)
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_client_options(client)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { init_backoff: PAUSE, max_backoff: LONGEST_PAUSE, base: 2.0 },
                max_retries: RETRIES,
                retry_timeout: RETRY_LIMIT,
            })
            .build()
            .map_err(S3PlaceError::Client)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("s3")
            .enable_all()
            .build()
            .map_err(S3PlaceError::Runtime)?;
        let prefix = if prefix.as_ref().is_empty() { String::new() } else { format!("{prefix}/") };
        let place = format!("s3://{}/{prefix} at {}", place.bucket, place.endpoint);
        Ok(Self { store, prefix, place, runtime: Some(runtime) })
    }

    fn path(&self, name: &BlobName) -> Path {
        Path::from(format!("{}{}", self.prefix, name.path()))
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        match &self.runtime {
            Some(runtime) => runtime.block_on(work),
            None => Err(Error::Generic { store: "S3", source: "the store is closed".into() }),
        }
    }
}

impl Drop for S3Blobs {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Blobs for S3Blobs {
    fn put(&self, name: &BlobName, bytes: &[u8]) -> Result<(), BlobError> {
        if bytes.len() > BLOB_LIMIT_BYTES {
            return Err(BlobError::TooLarge { name: name.clone(), bytes: bytes.len() as u64 });
        }
        let options = PutOptions::from(PutMode::Create);
        match self.wait(self.store.put_opts(&self.path(name), bytes.to_vec().into(), options)) {
            Ok(_) => Ok(()),
            // Also after a try that was done and whose answer was lost: then what is there is what was sent.
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => match self.get(name)? {
                Some(kept) if kept == bytes => Ok(()),
                _ => Err(BlobError::Taken(name.clone())),
            },
            Err(e) => Err(trouble(e)),
        }
    }

    fn get(&self, name: &BlobName) -> Result<Option<Vec<u8>>, BlobError> {
        let path = self.path(name);
        let got = self.wait(async {
            let found = self.store.get(&path).await?;
            let size = found.meta.size;
            if size > BLOB_LIMIT_BYTES as u64 {
                return Ok(Err(size));
            }
            Ok(Ok(found.bytes().await?))
        });
        match got {
            Ok(Ok(bytes)) => Ok(Some(bytes.to_vec())),
            Ok(Err(bytes)) => Err(BlobError::TooLarge { name: name.clone(), bytes }),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(trouble(e)),
        }
    }

    fn exists(&self, name: &BlobName) -> Result<bool, BlobError> {
        match self.wait(self.store.head(&self.path(name))) {
            Ok(_) => Ok(true),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(e) => Err(trouble(e)),
        }
    }

    fn delete(&self, name: &BlobName) -> Result<(), BlobError> {
        match self.wait(self.store.delete(&self.path(name))) {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(trouble(e)),
        }
    }

    fn names(&self, after: Option<&BlobName>, limit: usize) -> Result<Vec<BlobName>, BlobError> {
        let mut names = Vec::new();
        let mut offset = after.map(|name| self.path(name).to_string());
        loop {
            let options = PaginatedListOptions {
                offset: offset.clone(),
                max_keys: Some((limit - names.len()).clamp(1, PAGE)),
                ..PaginatedListOptions::default()
            };
            let prefix = Some(self.prefix.as_str()).filter(|p| !p.is_empty());
            let listed = self.wait(self.store.list_paginated(prefix, options)).map_err(trouble)?;
            let mut paths: Vec<String> = listed.result.objects.iter().map(|o| o.location.to_string()).collect();
            paths.sort();
            names.extend(paths.iter().filter_map(|p| BlobName::of_path(p.strip_prefix(&self.prefix)?)));
            names.truncate(limit);
            offset = paths.pop();
            // Strangers' objects are passed over, so a page may name less than was asked for.
            if names.len() == limit || listed.page_token.is_none() || offset.is_none() {
                return Ok(names);
            }
        }
    }

    fn place(&self) -> String {
        self.place.clone()
    }
}

fn trouble(error: Error) -> BlobError {
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => BlobError::Denied(error.into()),
        Error::InvalidPath { .. } | Error::NotSupported { .. } | Error::NotImplemented { .. } => {
            BlobError::Failed(error.into())
        }
        _ => BlobError::Unavailable(error.into()),
    }
}

/// TLS needs to be told once a process with which implementation to work; another room may have said so already.
fn install_provider() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| drop(rustls::crypto::ring::default_provider().install_default()));
}

#[cfg(test)]
mod tests;
