//! Bundles: a release's proof in one file, as an auditor is handed it.

use gate::bundle::{Bundle, verify};
use model::Digest;

use crate::fixed;

/// A bundle has one form; what is not signed by a charter's people proves nothing.
pub fn run(data: &[u8]) {
    if let Ok(bundle) = Bundle::parse(data) {
        assert_eq!(bundle.to_text().as_bytes(), data, "a bundle has one form");
        // Nothing here was signed by anybody, so no charter can be satisfied: not the one that it names either.
        assert!(verify(data, bundle.charter).is_err(), "unsigned, it proves nothing");
    }
    assert!(verify(data, Digest::of(fixed::ORIGIN.as_bytes())).is_err(), "nor another charter's");
}
