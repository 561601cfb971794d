//! Facts about one commit, read strictly from the bytes of its object.
//!
//! The names of authors are left out: nothing after this needs them. Addresses are kept because a commit whose
//! author is not its signer has to be told apart, and they go no further than the body beside the log.

use model::{Commit, RequirementId, Timestamp};

use super::{CommitSignature, TreeId, signature};

/// Facts about one commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitFacts {
    /// The commit.
    pub commit: Commit,
    /// Its parents; two or more for a merge.
    pub parents: Vec<Commit>,
    /// Its tree.
    pub tree: TreeId,
    /// The bytes that a signature is made over: the object without its signature header.
    pub payload: Vec<u8>,
    /// What the signature says.
    pub signature: CommitSignature,
    /// The author's e-mail address.
    pub author_email: String,
    /// The committer's e-mail address.
    pub committer_email: String,
    /// When the committer says that it was made.
    pub committed_at: Timestamp,
    /// The addresses of `Co-authored-by` trailers.
    pub co_author_emails: Vec<String>,
    /// The requirements of `Requirement` trailers.
    pub requirements: Vec<RequirementId>,
    /// `Requirement` and `Co-authored-by` trailers that could not be read, to be shown to whoever wrote them.
    pub unreadable_trailers: Vec<String>,
    /// The first line of the message, for people.
    pub subject: String,
}

/// A commit object that is not as git writes them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("commit {commit} is malformed: {why}")]
pub struct MalformedCommit {
    /// Which.
    pub commit: Commit,
    /// What is wrong.
    pub why: &'static str,
}

/// A header with its continuation lines, as it stands in the object.
struct Header<'a> {
    name: &'a [u8],
    value: Vec<u8>,
    raw: &'a [u8],
}

impl CommitFacts {
    /// Reads a commit object (without git's own `commit <size>` prefix).
    pub fn parse(commit: Commit, object: &[u8]) -> Result<Self, MalformedCommit> {
        let wrong = |why| MalformedCommit { commit, why };
        let (headers, message) = split(object).ok_or_else(|| wrong("no empty line ends the headers"))?;
        let headers = parse_headers(headers).ok_or_else(|| wrong("a header has no name"))?;
        let named = |name: &'static str| headers.iter().filter(move |h| h.name == name.as_bytes());
        let one = |name: &'static str, why| {
            let mut found = named(name);
            match (found.next(), found.next()) {
                (Some(header), None) => Ok(&header.value),
                _ => Err(wrong(why)),
            }
        };
        let id = |value: &[u8]| std::str::from_utf8(value).ok().and_then(|t| t.parse::<Commit>().ok());

        let tree =
            id(one("tree", "not exactly one tree")?).map(TreeId::of).ok_or_else(|| wrong("the tree has no id"))?;
        let parents = named("parent").map(|h| id(&h.value)).collect::<Option<Vec<_>>>();
        let parents = parents.ok_or_else(|| wrong("a parent has no id"))?;
        let identity =
            |value: &[u8]| parse_identity(value).ok_or_else(|| wrong("an identity is not `name <address> time zone`"));
        let (author_email, _) = identity(one("author", "not exactly one author")?)?;
        let (committer_email, committed_at) = identity(one("committer", "not exactly one committer")?)?;

        let mut payload: Vec<u8> =
            headers.iter().filter(|h| h.name != b"gpgsig").flat_map(|h| h.raw.iter().copied()).collect();
        payload.push(b'\n');
        payload.extend(message);
        let signature = match (named("gpgsig").next(), named("gpgsig").nth(1), named("gpgsig-sha256").next()) {
            (None, _, None) => CommitSignature::Unsigned,
            (Some(header), None, None) => signature::verify(&header.value, &payload),
            // Two signatures can be read in two ways; nobody honest makes them.
            _ => CommitSignature::BadSignature,
        };

        let text = String::from_utf8_lossy(message);
        let trailers = Trailers::parse(&text);
        Ok(Self {
            commit,
            parents,
            tree,
            payload,
            signature,
            author_email,
            committer_email,
            committed_at,
            co_author_emails: trailers.co_authors,
            requirements: trailers.requirements,
            unreadable_trailers: trailers.unreadable,
            subject: text.lines().next().unwrap_or_default().chars().take(SUBJECT_LIMIT).collect(),
        })
    }
}

/// Characters of a subject that are kept; longer ones are cut for display only.
const SUBJECT_LIMIT: usize = 200;

fn split(object: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = object.windows(2).position(|w| w == b"\n\n")?;
    let (headers, rest) = object.split_at(at + 1);
    Some((headers, rest.strip_prefix(b"\n")?))
}

fn parse_headers(bytes: &[u8]) -> Option<Vec<Header<'_>>> {
    let mut headers = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let end = header_end(rest)?;
        let (raw, after) = rest.split_at(end);
        let space = raw.iter().position(|b| *b == b' ')?;
        let (name, value) = raw.split_at(space);
        if name.is_empty() {
            return None;
        }
        // Continuation lines start with one space, which is not part of the value.
        let mut value: Vec<u8> = value.get(1..)?.to_vec();
        value.pop();
        let mut joined = Vec::with_capacity(value.len());
        let mut after_newline = false;
        for b in value {
            if !(after_newline && b == b' ') {
                joined.push(b);
            }
            after_newline = b == b'\n';
        }
        headers.push(Header { name, value: joined, raw });
        rest = after;
    }
    Some(headers)
}

/// The length of the first header: up to the newline that no space follows.
fn header_end(bytes: &[u8]) -> Option<usize> {
    let newlines = bytes.iter().enumerate().filter(|(_, b)| **b == b'\n');
    newlines.map(|(at, _)| at + 1).find(|end| bytes.get(*end) != Some(&b' '))
}

/// `Name <address> 1700000000 +0100`
fn parse_identity(value: &[u8]) -> Option<(String, Timestamp)> {
    let close = value.iter().rposition(|b| *b == b'>')?;
    let (before, after) = value.split_at(close);
    let open = before.iter().position(|b| *b == b'<')?;
    let email = before.get(open + 1..)?;
    if email.contains(&b'<') || email.contains(&b'>') || email.contains(&b'\n') {
        return None;
    }
    let after = std::str::from_utf8(after.get(1..)?).ok()?;
    let mut words = after.split_whitespace();
    let seconds: u64 = words.next()?.parse().ok()?;
    let zone = words.next()?;
    if words.next().is_some() || zone.len() != 5 {
        return None;
    }
    Some((String::from_utf8_lossy(email).trim().to_owned(), Timestamp::from_unix(seconds)))
}

#[derive(Default)]
struct Trailers {
    co_authors: Vec<String>,
    requirements: Vec<RequirementId>,
    unreadable: Vec<String>,
}

impl Trailers {
    /// Trailers are the last paragraph of a message that has a paragraph before it, if every line of it is
    /// `Token: value` or the continuation of one. A paragraph of prose is not half a set of trailers.
    fn parse(message: &str) -> Self {
        let lines: Vec<&str> = message.lines().map(str::trim_end).collect();
        let last = lines.iter().rposition(|l| !l.is_empty()).map_or(0, |i| i + 1);
        let first = lines.iter().take(last).rposition(|l| l.is_empty()).map_or(0, |i| i + 1);
        let mut trailers = Self::default();
        if first == 0 {
            return trailers;
        }
        let mut found: Vec<(String, String)> = Vec::new();
        for line in lines.iter().take(last).skip(first) {
            if line.starts_with([' ', '\t']) {
                let Some((_, value)) = found.last_mut() else { return trailers };
                value.push(' ');
                value.push_str(line.trim());
                continue;
            }
            let Some((token, value)) = line.split_once(':') else { return trailers };
            let plain = !token.is_empty() && token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !plain {
                return trailers;
            }
            found.push((token.to_ascii_lowercase(), value.trim().to_owned()));
        }
        for (token, value) in found {
            trailers.take(&token, value);
        }
        trailers
    }

    fn take(&mut self, token: &str, value: String) {
        match token {
            "requirement" => match value.parse::<RequirementId>() {
                Ok(id) if self.requirements.contains(&id) => {}
                Ok(id) => self.requirements.push(id),
                Err(_) => self.unreadable.push(format!("Requirement: {value}")),
            },
            "co-authored-by" => {
                let email = value.rsplit_once('<').and_then(|(_, e)| e.strip_suffix('>')).map(str::trim);
                match email.filter(|e| !e.is_empty()) {
                    Some(email) => self.co_authors.push(email.to_owned()),
                    None => self.unreadable.push(format!("Co-authored-by: {value}")),
                }
            }
            _ => {}
        }
    }
}
