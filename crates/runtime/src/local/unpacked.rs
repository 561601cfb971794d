//! The archive of a layer as it comes out of its packing, hashed and counted on the way.

use std::{
    fs::File,
    io::{self, Read},
};

use model::Digest;
use sha2::{Digest as _, Sha256};

use super::{
    image::{Blobs, Checked, ImageError, Layer, Packing},
    layer::LayerError,
};

/// The archive may be larger than the files in it, which have a limit of their own, by headers and padding alone.
const ARCHIVE_LIMIT: u64 = 16 << 30;

/// A layer's archive as it comes out of its packing, hashed on the way.
pub(crate) struct Unpacked {
    packed: Option<Unpacker>,
    hash: Sha256,
    read: u64,
}

enum Unpacker {
    Plain(Checked<File>),
    Gzip(Box<flate2::read::MultiGzDecoder<Checked<File>>>),
    Zstd(Box<zstd::stream::read::Decoder<'static, io::BufReader<Checked<File>>>>),
}

impl Unpacked {
    /// Opens the blob of a layer.
    pub(crate) fn open(blobs: &Blobs, layer: &Layer) -> Result<Self, LayerError> {
        let blob = blobs.open(layer.blob, layer.bytes)?;
        let packed = match layer.packing {
            Packing::Plain => Unpacker::Plain(blob),
            Packing::Gzip => Unpacker::Gzip(Box::new(flate2::read::MultiGzDecoder::new(blob))),
            Packing::Zstd => Unpacker::Zstd(Box::new(
                zstd::stream::read::Decoder::new(blob).map_err(|error| LayerError::Read(layer.blob, error))?,
            )),
        };
        Ok(Self { packed: Some(packed), hash: Sha256::new(), read: 0 })
    }

    /// Checks the blob to its end; returns the digest of the archive.
    pub(crate) fn finish(mut self) -> Result<Digest, ImageError> {
        match self.packed.take() {
            Some(Unpacker::Plain(blob)) => blob.finish()?,
            Some(Unpacker::Gzip(packed)) => packed.into_inner().finish()?,
            Some(Unpacker::Zstd(packed)) => packed.finish().into_inner().finish()?,
            None => {}
        }
        Ok(Digest::from_bytes(self.hash.finalize().into()))
    }
}

impl Read for Unpacked {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let length = match &mut self.packed {
            Some(Unpacker::Plain(blob)) => blob.read(buffer)?,
            Some(Unpacker::Gzip(packed)) => packed.read(buffer)?,
            Some(Unpacker::Zstd(packed)) => packed.read(buffer)?,
            None => 0,
        };
        self.hash.update(buffer.get(..length).unwrap_or_default());
        self.read += length as u64;
        if self.read > ARCHIVE_LIMIT {
            return Err(io::Error::other("the archive is over the limit of 16 GiB"));
        }
        Ok(length)
    }
}
