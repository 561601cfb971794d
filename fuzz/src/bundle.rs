//! Bundles: a release's proof in one file, as an auditor is handed it.
//!
//! Only the form is compiled in here, from its own file: all of `gate` would bring the policy engine, which takes many
//! times as long to build as everything else, and what is behind the form is verified by parsers that have targets here.

/// The file of `gate` that reads and writes bundles.
#[path = "../../crates/gate/src/bundle/form.rs"]
#[allow(dead_code, reason = "what `gate` alone uses")]
pub mod form;

use form::{BODY_LIMIT, Bundle, ENTRY_LIMIT};

/// A bundle has one form, its entries stand in order, and its bodies are what they are committed to.
pub fn run(data: &[u8]) {
    let Ok(bundle) = Bundle::parse(data) else { return };
    assert_eq!(bundle.to_text().as_bytes(), data, "a bundle has one form");
    assert!(bundle.entries.len() <= ENTRY_LIMIT && bundle.bodies.len() <= BODY_LIMIT);
    assert!(bundle.entries.windows(2).all(|pair| pair[0].index < pair[1].index), "in order, each once");
    if bundle.form == form::Form::Whole {
        assert!((0..).zip(&bundle.entries).all(|(index, entry)| entry.index == index), "nothing is left out");
    }
    for body in &bundle.bodies {
        assert_eq!(model::Digest::of(&body.salted), body.commitment);
    }
}
