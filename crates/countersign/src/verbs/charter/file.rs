//! A charter as a file that people edit: TOML, field by field as in the log. What is written is read back the same.

use std::path::Path;

use ledger::statement::v1::Charter;

use crate::fault::{Because as _, Fault, Kind};

const HEAD: &str = "\
# The charter in force, to edit. `countersign charter diff FILE` says what it would allow, `countersign charter propose FILE`
# puts it up. `log` and `demo` do not change; `countersign charter add-person FILE NAME` adds a person.
";

/// The file of a charter.
pub(super) fn write(charter: &Charter) -> Result<String, Fault> {
    let text = toml_edit::ser::to_string_pretty(charter).because(Kind::Internal, "the charter can not be written")?;
    Ok(format!("{HEAD}{text}"))
}

/// Reads an edited one.
pub(super) fn read(path: &Path) -> Result<Charter, Fault> {
    let text = std::fs::read_to_string(path).because(Kind::Usage, format!("`{}` can not be read", path.display()))?;
    parse(&text).map_err(|fault| fault.context(format!("`{}` is not a charter", path.display())))
}

/// Reads the text of one.
pub(super) fn parse(text: &str) -> Result<Charter, Fault> {
    toml_edit::de::from_str(text)
        .map_err(|e| Fault::new(Kind::Input, e.to_string()).hint("`countersign charter edit` prints one to start from"))
}
