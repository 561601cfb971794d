//! `countersign import`: bring in an image that was made elsewhere, by digest.

use std::{io::Write, path::PathBuf};

use build::image::ImageStore;
use serde_json::json;

use crate::{
    fault::{Because as _, Fault, Kind},
    supervise,
    verbs::{Flags, Format, line, print_json},
};

/// Bring in an image that was made elsewhere, by digest
#[derive(Debug, clap::Args)]
pub struct Args {
    /// An OCI image layout, such as `skopeo copy docker://… oci:DIR` makes
    layout: PathBuf,
    /// The digest of the image in it; nothing else is believed
    digest: model::Digest,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    let layout = common.layout();
    crate::settings::Settings::read(&layout)?;
    supervise::lay_out(&layout)?;
    let store = ImageStore::open(&layout.images()).because(Kind::Unavailable, "the images can not be opened")?;
    let imported = store
        .import(&args.layout, args.digest)
        .because(Kind::Input, format!("`{}` can not be brought in", args.layout.display()))?;
    match common.format {
        Format::Json => print_json(out, &json!({ "image": imported.digest })),
        Format::Text => {
            line(out, format!("brought in {}", imported.digest))?;
            line(out, format!("in a manifest: image = \"{}\"", imported.digest))
        }
    }
}
