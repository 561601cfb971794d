//! Manifests and release documents.

use model::{
    Digest, Serial,
    manifest::{Manifest, diagnostic::render_all},
    release::Release,
};

/// Reading ends, what is said about a manifest points into it, and what follows from a good one has one form.
pub fn run(data: &[u8]) {
    let lines = data.split(|b| *b == b'\n').count();
    let findings = match Manifest::parse_bytes(data) {
        Ok(parsed) => {
            let manifest = &parsed.manifest;
            let images = manifest.components.keys().map(|name| (name.clone(), Digest::of(b""))).collect();
            let serial = Serial::new(manifest.system.clone(), 1);
            let commit = "00".repeat(20).parse().expect("a commit's id");
            if let Ok(release) = manifest.compose(serial, commit, &images) {
                let bytes = release.to_bytes().expect("a release is JSON");
                assert_eq!(Release::from_bytes(&bytes).ok().as_ref(), Some(&release), "what is written can be read");
            }
            parsed.warnings
        }
        Err(error) => {
            assert!(error.errors().count() > 0, "a refusal has a reason");
            error.findings
        }
    };
    for finding in &findings {
        assert!((1..=lines).contains(&finding.line), "{finding:?}");
    }
    let shown = render_all(&findings, "countersign.toml", &String::from_utf8_lossy(data));
    assert!(!shown.chars().any(|c| c.is_control() && c != '\n'), "{shown:?}");
    if let Ok(release) = Release::from_bytes(data) {
        assert_eq!(release.to_bytes().ok().as_deref(), Some(data), "a release document has one form");
    }
}
