//! `countersign export`: an image as an OCI layout, for `skopeo`, `podman` and everything else that reads one.

use std::{io::Write, path::PathBuf};

use build::image::ImageStore;
use serde_json::json;

use crate::{
    fault::{Because as _, Fault, Kind},
    verbs::{Flags, Format, line, print_json},
};

/// Write an image as an OCI image layout
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The digest of the image; `countersign trace SERIAL` names those of a release
    image: model::Digest,
    /// The folder to make
    layout: PathBuf,
    /// What the layout calls it (`org.opencontainers.image.ref.name`)
    #[arg(long, default_value = "latest")]
    name: String,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    crate::settings::Settings::read(&common.layout())?;
    let store =
        ImageStore::open(&common.layout().images()).because(Kind::Unavailable, "the images can not be opened")?;
    store.verify(args.image).because(Kind::Untrue, format!("the image {} does not hold up", args.image))?;
    store
        .export(args.image, &args.name, &args.layout)
        .because(Kind::Usage, format!("`{}` can not be written", args.layout.display()))?;
    match common.format {
        Format::Json => print_json(out, &json!({ "image": args.image, "layout": args.layout })),
        Format::Text => line(
            out,
            format!(
                "{} is in {}; try `skopeo inspect oci:{}`",
                args.image,
                args.layout.display(),
                args.layout.display()
            ),
        ),
    }
}
