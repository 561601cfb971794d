//! What a process did to the files of one folder, from `strace`: writes, names, syncs, and what it said in between.
//!
//! Strace stops each thread at the beginning and at the end of a call, so the lines are in an order that the threads
//! themselves could have seen: what began after another ended comes after it.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::writer::program;

/// Every call that changes files or makes changes durable. A new one must not go unseen: whoever uses it adds it here.
const CALLS: &str = "openat,creat,open,write,writev,pwrite64,pwritev,pwritev2,ftruncate,truncate,fallocate,fsync,fdatasync,\
    sync_file_range,msync,copy_file_range,sendfile,rename,renameat,renameat2,unlink,unlinkat,link,linkat,symlink,symlinkat,\
    mkdir,mkdirat,rmdir";
/// The longest write that is printed as a whole: 16 MiB, the largest body.
const STRING_LIMIT: &str = "16777216";

/// One thing that was done.
#[derive(Debug)]
pub enum Deed {
    Open {
        path: PathBuf,
        creates: bool,
        truncates: bool,
    },
    /// At an offset, or at the end.
    Write {
        path: PathBuf,
        offset: Option<usize>,
        bytes: Vec<u8>,
    },
    Truncate {
        path: PathBuf,
        length: usize,
    },
    Sync {
        path: PathBuf,
    },
    MakeFolder {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
    },
    Link {
        from: PathBuf,
        to: PathBuf,
    },
    Unlink {
        path: PathBuf,
    },
    Say {
        bytes: Vec<u8>,
    },
}

/// A deed, and between which lines of the trace it was done.
#[derive(Debug)]
pub struct Done {
    pub start: usize,
    pub end: usize,
    pub deed: Deed,
}

/// Runs the writer to its end and gives what it did below the folder.
pub fn trace(folder: &Path, first: u64, count: u64) -> Vec<Done> {
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-y", "-xx", "-s", STRING_LIMIT, "-e"]).arg(format!("trace={CALLS}")).arg("-o").arg(&file);
    command.arg(program()).arg(folder).args([first.to_string(), count.to_string()]);
    let output = command.stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|e| panic!("strace is needed (scripts/setup test): {e}"));
    assert!(output.status.success(), "strace: {}", String::from_utf8_lossy(&output.stderr));
    let done = parse(&std::fs::read_to_string(file).unwrap(), folder);
    // Not a line of it may have been lost on the way from the process to here.
    let said: usize = done.iter().map(|d| if let Deed::Say { bytes } = &d.deed { bytes.len() } else { 0 }).sum();
    assert_eq!(said, output.stdout.len(), "the trace has everything that was said");
    done
}

fn parse(text: &str, folder: &Path) -> Vec<Done> {
    let mut unfinished: HashMap<&str, (usize, &str)> = HashMap::new();
    let mut done = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let (thread, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            unfinished.insert(thread, (number, begun));
            continue;
        }
        let (start, call) = match rest.strip_prefix("<... ") {
            Some(resumed) => {
                let (start, begun) = unfinished.remove(thread).unwrap();
                (start, format!("{begun}{}", resumed.split_once(" resumed>").unwrap().1))
            }
            None => (number, rest.to_owned()),
        };
        done.extend(deed(&call, folder).map(|deed| Done { start, end: number, deed }));
    }
    assert!(unfinished.is_empty(), "the process ended by itself");
    done
}

/// What one finished call did below the folder; `None` if nothing.
fn deed(call: &str, folder: &Path) -> Option<Deed> {
    let (call, result) = call.rsplit_once(" = ").unwrap_or_else(|| panic!("not a call: {call:.200}"));
    if result.starts_with('-') {
        return None;
    }
    let (name, arguments) = call.split_once('(').unwrap();
    // Names and bytes are in hex, so no comma is part of them.
    let arguments: Vec<&str> = arguments.trim_end().strip_suffix(')').unwrap().split(", ").collect();
    let ours = |path: PathBuf| path.starts_with(folder).then_some(path);
    let named = |at: usize| ours(PathBuf::from(text(arguments[at])));
    match name {
        "openat" => {
            let flags = arguments[2];
            let creates = flags.contains("O_CREAT");
            named(1).map(|path| Deed::Open { path, creates, truncates: flags.contains("O_TRUNC") })
        }
        "write" if arguments[0].starts_with("1<") => Some(Deed::Say { bytes: bytes(arguments[1]) }),
        "write" | "pwrite64" => {
            let path = ours(descriptor(arguments[0])?)?;
            let bytes = bytes(arguments[1]);
            let written: usize = result.parse().unwrap();
            assert_eq!(written, bytes.len(), "a short write");
            Some(Deed::Write { path, offset: arguments.get(3).map(|offset| offset.parse().unwrap()), bytes })
        }
        "ftruncate" => {
            let path = ours(descriptor(arguments[0])?)?;
            Some(Deed::Truncate { path, length: arguments[1].parse().unwrap() })
        }
        "fsync" | "fdatasync" => Some(Deed::Sync { path: ours(descriptor(arguments[0])?)? }),
        "mkdir" => named(0).map(|path| Deed::MakeFolder { path }),
        "rename" => Some(Deed::Rename { from: named(0)?, to: named(1)? }),
        "linkat" => Some(Deed::Link { from: named(1)?, to: named(3)? }),
        "unlink" => named(0).map(|path| Deed::Unlink { path }),
        _ => {
            assert!(!call.contains(&hex(folder)), "the model does not know {call:.300}");
            None
        }
    }
}

/// The path of an open file, `5<\x2f…>`; a file without a name any more has `(deleted)` behind it.
fn descriptor(argument: &str) -> Option<PathBuf> {
    let (_, rest) = argument.split_once('<')?;
    let path = rest.strip_suffix('>')?;
    Some(PathBuf::from(text(path)))
}

fn text(quoted: &str) -> String {
    String::from_utf8(bytes(quoted)).unwrap()
}

fn bytes(quoted: &str) -> Vec<u8> {
    assert!(!quoted.ends_with("..."), "cut short");
    quoted.trim_matches('"').split("\\x").skip(1).map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect()
}

fn hex(path: &Path) -> String {
    path.to_str().unwrap().bytes().map(|b| format!("\\x{b:02x}")).collect()
}
