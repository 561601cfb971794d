//! Pages that people keep: one file each, without scripts and without anything from a network, in one style.
//!
//! It refuses to know what a page is about.

pub mod html;
pub mod plot;

use html::Markup;

const STYLE: &str = include_str!("page/style.css");

/// Begins a page, up to where its content goes.
pub fn begin(title: impl std::fmt::Display) -> Markup {
    let mut to = Markup::default();
    to.raw("<!DOCTYPE html>\n<html lang=\"en\" xmlns=\"http://www.w3.org/1999/xhtml\"><head><meta charset=\"utf-8\"/>");
    to.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>");
    // Nothing is loaded and nothing runs, whatever a browser would make of it.
    to.raw("<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\"/>");
    to.raw("<title>").text(title).raw("</title><style>").raw(STYLE).raw("</style></head><body><main>");
    to
}

/// Ends it.
pub fn end(mut page: Markup) -> String {
    page.raw("</main></body></html>\n");
    page.finish()
}
