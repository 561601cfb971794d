//! What every store of blobs promises, asked of files and of a real S3-compatible server.

mod tests;
