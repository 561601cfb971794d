//! Paths and commands in a manifest: each path has one form, stays where it belongs, and no shell ever reads a command.

use super::{
    diagnostic::quoted,
    findings::{Findings, Place},
    limits,
    walk::Field,
};

/// A path within the repository or workspace. `whole` allows `.`, which stands for all of it.
pub(super) fn relative(field: &Field<'_>, whole: bool, findings: &mut Findings<'_>) -> Option<String> {
    let path = field.line(findings)?;
    if whole && path == "." {
        return Some(path.to_owned());
    }
    let wrong = if path.starts_with('/') {
        Some(("is absolute", "write it from the root of the repository, without the first `/`"))
    } else if path.split('/').any(|part| part == "..") {
        Some(("leaves the repository", "leave out `..`; write it from the root of the repository"))
    } else if path.contains('\\') {
        Some(("has a backslash", "separate folders by `/`"))
    } else if path.split('/').any(|part| part.is_empty() || part == ".") {
        Some(("is not in its shortest form", "leave out `.`, doubled and trailing `/`"))
    } else if path.split('/').next() == Some(".git") {
        Some(("is inside git's own folder", "name a file of the source tree"))
    } else {
        None
    };
    match wrong {
        None => Some(path.to_owned()),
        Some((what, hint)) => {
            findings.error(field.place(), format!("{} {what}", quoted(path)), hint);
            None
        }
    }
}

/// The path of a report: one `*` may stand in the name of the file.
pub(super) fn report(field: &Field<'_>, findings: &mut Findings<'_>) -> Option<String> {
    let path = relative(field, false, findings)?;
    let name = path.rsplit('/').next().unwrap_or(&path);
    let stars = path.matches('*').count();
    if stars > 1 || stars > name.matches('*').count() || path.contains(['?', '[']) {
        let hint = "one `*` may stand in the name of the file, as in `target/surefire-reports/TEST-*.xml`";
        findings.error(field.place(), format!("{} is too loose a pattern", quoted(&path)), hint);
        return None;
    }
    Some(path)
}

/// A path within an image.
pub(super) fn absolute(path: &str, place: &Place, findings: &mut Findings<'_>) -> Option<String> {
    let reserved = limits::RESERVED_PATHS.iter().find(|r| covers(r, path));
    let wrong = if !path.starts_with('/') {
        Some(("is not absolute", "start it with `/`".to_owned()))
    } else if path.len() > limits::TEXT_VALUE_BYTES || path.chars().any(char::is_control) {
        Some(("is too long or has control characters", "use a plain path".to_owned()))
    } else if path == "/" {
        Some(("is the whole image", "name a folder in it, as in `/data`".to_owned()))
    } else if path.split('/').skip(1).any(|part| part.is_empty() || part == "." || part == "..") {
        Some(("is not in its shortest form", "leave out `.`, `..`, doubled and trailing `/`".to_owned()))
    } else {
        reserved.map(|r| {
            ("is in a place that the runtime mounts itself", format!("choose a path outside `{r}`, as in `/data`"))
        })
    };
    match wrong {
        None => Some(path.to_owned()),
        Some((what, hint)) => {
            findings.error(place, format!("{} {what}", quoted(path)), hint);
            None
        }
    }
}

/// Whether one path is the other or a folder above it.
pub(super) fn covers(above: &str, below: &str) -> bool {
    below.strip_prefix(above).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A command and its arguments.
pub(super) fn command(field: &Field<'_>, example: &str, findings: &mut Findings<'_>) -> Option<Vec<String>> {
    if field.is_text() {
        let hint = format!("no shell splits it: write a list, {example}");
        findings.error(
            field.place(),
            format!("{} is a text; it must be a list of arguments", quoted(&field.place().key)),
            hint,
        );
        return None;
    }
    let elements = field.list(limits::ARGUMENTS, example, findings)?;
    let Some(program) = elements.first() else {
        findings.error(
            field.place(),
            format!("{} is empty", quoted(&field.place().key)),
            format!("write the program and its arguments, {example}"),
        );
        return None;
    };
    program.line(findings)?;
    let mut arguments = Vec::with_capacity(elements.len());
    for element in &elements {
        let argument = element.text(findings)?;
        if argument.contains('\0') {
            findings.error(element.place(), "an argument can not contain NUL", "");
            return None;
        }
        super::secrets::refuse_value(argument, element.place(), findings)?;
        arguments.push(argument.to_owned());
    }
    Some(arguments)
}
