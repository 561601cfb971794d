//! `countersign check`: the manifest, and what is about to be pushed, before anyone else sees it. Needs no server.
//!
//! It writes only the hook, and never over somebody else's.

mod hook;

use std::{
    io::Write,
    path::{Path, PathBuf},
};

use model::manifest::{Diagnostic, FILE_NAME, Manifest, Severity, diagnostic::render_all, limits};
use serde_json::json;

use super::{Flags, Format, line, print_json, show};
use crate::fault::{Because as _, Fault, Kind};

/// Check the manifest, and the commits about to be pushed
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The manifest
    #[arg(default_value = FILE_NAME)]
    file: PathBuf,
    /// As git's pre-push hook: read what is pushed from standard input, and check every commit too
    #[arg(long)]
    hook: bool,
    /// Check these commits too, such as `origin/main..`
    #[arg(long, value_name = "RANGE", conflicts_with = "hook")]
    commits: Option<String>,
    /// Write `.git/hooks/pre-push`, which runs `countersign check --hook`
    #[arg(long, conflicts_with_all = ["hook", "commits"])]
    install_hook: bool,
}

/// Runs the verb.
pub fn run(args: &Args, common: &Flags, out: &mut dyn Write) -> Result<(), Fault> {
    if args.install_hook {
        let path = hook::install(Path::new("."))?;
        return line(out, format!("`{}` checks what is pushed from now on", path.display()));
    }
    let (text, checked) = read(&args.file)?;
    let commits = if args.hook {
        hook::pushed(Path::new("."), &mut std::io::stdin().lock())?
    } else if let Some(range) = &args.commits {
        hook::range(Path::new("."), range)?
    } else {
        Vec::new()
    };
    let bad: Vec<_> = commits.iter().filter(|c| !c.problems.is_empty()).collect();
    let file = args.file.display().to_string();
    let (findings, failed) = match &checked {
        Ok(parsed) => (&parsed.warnings, false),
        Err(error) => (&error.findings, true),
    };
    match common.format {
        Format::Json => print_json(
            out,
            &json!({
                "file": file, "ok": !failed && bad.is_empty(), "findings": findings.iter().map(finding).collect::<Vec<_>>(),
                "commits": commits,
            }),
        )?,
        Format::Text => {
            if !findings.is_empty() {
                line(out, render_all(findings, &file, &text).trim_end())?;
                line(out, "")?;
            }
            for commit in &bad {
                for problem in &commit.problems {
                    line(out, format!("commit {} \"{}\": {problem}", commit.commit.short(), commit.subject))?;
                }
            }
            if let Ok(parsed) = &checked {
                let m = &parsed.manifest;
                line(
                    out,
                    format!(
                        "{file}: {} with {}, {}, {}: no errors, {}",
                        m.system,
                        show::plural(m.components.len(), "component"),
                        show::plural(m.suites.len(), "suite"),
                        show::plural(m.environments.len(), "environment"),
                        show::plural(parsed.warnings.len(), "warning")
                    ),
                )?;
            }
            if !commits.is_empty() && bad.is_empty() {
                line(out, format!("{} signed and linked to requirements", show::plural(commits.len(), "commit")))?;
            }
        }
    }
    if let Err(error) = checked {
        return Err(Fault::from_error(Kind::Input, error).context(format!("`{file}` does not hold up")));
    }
    if !bad.is_empty() {
        return Err(Fault::new(Kind::Input, format!("{} would be refused", show::plural(bad.len(), "commit"))).hint(
            "sign with `git config gpg.format ssh`, `git config user.signingkey KEY.pub`, `git commit -S`, and end the message \
             with a trailer such as `Requirement: PAY-142`; `git rebase --exec 'git commit --amend -S --no-edit'` signs again",
        ));
    }
    Ok(())
}

type Checked = Result<model::manifest::Parsed, model::manifest::ManifestError>;

/// The text, for showing lines of it, and what is in it.
fn read(path: &Path) -> Result<(String, Checked), Fault> {
    let size = std::fs::metadata(path)
        .map_err(|e| {
            Fault::from_error(Kind::Usage, e)
                .context(format!("`{}` can not be read", path.display()))
                .hint(format!("run this where `{FILE_NAME}` is, or name the file"))
        })?
        .len();
    if size > limits::TEXT_BYTES as u64 {
        return Err(Fault::new(
            Kind::Input,
            format!("`{}` has {size} bytes; a manifest has at most {}", path.display(), limits::TEXT_BYTES),
        ));
    }
    let bytes = std::fs::read(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
    let checked = Manifest::parse_bytes(&bytes);
    Ok((String::from_utf8_lossy(&bytes).into_owned(), checked))
}

fn finding(d: &Diagnostic) -> serde_json::Value {
    let severity = match d.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    json!({ "severity": severity, "line": d.line, "column": d.column, "key": d.key, "message": d.message, "hint": d.hint })
}

#[cfg(test)]
mod tests;
