//! Manifests that are right, manifests that are not, and the words that are said about them.

mod arbitrary;
mod bad;
mod good;
