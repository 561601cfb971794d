//! Links in documents lead somewhere: to a file of the repository, and to a heading that is there.
//!
//! It refuses to know the network: links to other sites are not followed.

use std::collections::BTreeMap;

use super::{finding::Finding, tree::Tree};

const NAME: &str = "doc-link";

/// Finds links in Markdown files that do not resolve.
pub(super) fn check(tree: &Tree) -> Vec<Finding> {
    let mut found = Vec::new();
    for (path, file) in tree.files().filter(|(path, _)| path.ends_with(".md")) {
        for (line, target) in links(&file.text) {
            if let Some(why) = broken(tree, path, &target) {
                found.push(Finding::wrong(NAME, path, line, format!("`{target}` {why}")));
            }
        }
    }
    found
}

/// Lines that are text, with their numbers from 1: no code blocks, and inline code blanked.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut fence: Option<&str> = None;
    let mut lines = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (None, None) => {
                let odd_parts_are_code =
                    line.split('`').enumerate().map(|(index, part)| if index % 2 == 0 { part } else { "" });
                lines.push((index + 1, odd_parts_are_code.collect::<Vec<_>>().join("`")));
            }
            _ => {}
        }
    }
    lines
}

/// Targets of `[text](target "title")` and `[name]: target`.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (number, line) in prose(text) {
        let mut tell = |target: &str| {
            let target = target.trim().split(' ').next().unwrap_or_default();
            links.push((number, target.trim_start_matches('<').trim_end_matches('>').to_owned()));
        };
        for after in line.split("](").skip(1) {
            tell(after.split(')').next().unwrap_or_default());
        }
        if let Some((_, target)) = line.trim_start().strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            tell(target);
        }
    }
    links
}

/// Why a link of this document does not lead anywhere.
fn broken(tree: &Tree, document: &str, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let resolved = if path.is_empty() { Some(document.to_owned()) } else { resolve(document, path) };
    let Some(resolved) = resolved else {
        return Some("leads out of the repository: link to a file in it".to_owned());
    };
    if !tree.has(&resolved) {
        return Some("is not there: correct the path".to_owned());
    }
    let anchor = anchor.filter(|_| resolved.ends_with(".md"))?;
    let there = tree.file(&resolved).is_some_and(|file| anchors(&file.text).iter().any(|slug| slug == anchor));
    (!there).then(|| format!("has no such heading in `{resolved}`: correct the part after `#`"))
}

/// The path from the root that a relative path in a document means.
fn resolve(document: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The anchors of headings as code forges make them: lower case, blanks as hyphens, no punctuation, numbered if equal.
fn anchors(text: &str) -> Vec<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    // The text of headings with their inline code, which counts; blocks of code do not.
    let headings: Vec<usize> =
        prose(text).into_iter().filter(|(_, line)| line.starts_with('#')).map(|(number, _)| number).collect();
    let lines = text.lines().enumerate().filter(|(index, _)| headings.contains(&(index + 1)));
    lines
        .map(|(_, line)| {
            let title = line.trim_start_matches('#').trim();
            let slug: String = title
                .chars()
                .filter(|char| char.is_alphanumeric() || matches!(char, ' ' | '-' | '_'))
                .flat_map(char::to_lowercase)
                .map(|char| if char == ' ' { '-' } else { char })
                .collect();
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

#[cfg(test)]
mod tests;
