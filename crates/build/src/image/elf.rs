//! What a program of this machine's kind needs to start: its interpreter and its shared libraries (System V ABI,
//! "Program Interpreter" and "Dynamic Section").

use object::{
    Endianness,
    elf::{self, FileHeader64},
    read::elf::{Dyn as _, FileHeader, ProgramHeader},
};

/// What a program needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Needs {
    /// The program that loads it; none for libraries and static programs.
    pub(super) interpreter: Option<String>,
    /// The names of shared libraries.
    pub(super) libraries: Vec<String>,
    /// Folders that it wants them looked for in first, as written.
    pub(super) search: Vec<String>,
    /// The kind of machine (`e_machine`).
    pub(super) machine: u16,
}

/// Whether these are the first bytes of an ELF file of 64 bits; no other kind runs without more of another system.
pub(super) fn is_program(head: &[u8]) -> bool {
    head.starts_with(&[0x7f, b'E', b'L', b'F', 2])
}

/// Reads an ELF file of 64 bits.
pub(super) fn needs(data: &[u8]) -> Result<Needs, object::Error> {
    let header = FileHeader64::<Endianness>::parse(data)?;
    let endian = header.endian()?;
    let segments = header.program_headers(endian, data)?;
    let mut needs = Needs { machine: header.e_machine(endian), ..Needs::default() };
    for segment in segments {
        if let Some(name) = segment.interpreter(endian, data)? {
            needs.interpreter = Some(String::from_utf8_lossy(name).into_owned());
        }
    }
    let mut strings = None;
    let mut wanted = Vec::new();
    for segment in segments {
        for entry in segment.dynamic(endian, data)?.unwrap_or_default() {
            let value = entry.d_val(endian);
            match entry.d_tag(endian) {
                elf::DT_NULL => break,
                elf::DT_STRTAB => strings = Some(value),
                tag @ (elf::DT_NEEDED | elf::DT_RPATH | elf::DT_RUNPATH) => wanted.push((tag, value)),
                _ => {}
            }
        }
    }
    // The table's place is an address in memory; the segment that is loaded there has it in the file.
    let table = strings.and_then(|address| {
        segments.iter().find_map(|s| {
            let (start, size) = (s.p_vaddr(endian), s.p_filesz(endian));
            let inside = s.p_type(endian) == elf::PT_LOAD && address >= start && address - start < size;
            let at = usize::try_from(s.p_offset(endian).checked_add(address.checked_sub(start)?)?).ok()?;
            inside.then(|| data.get(at..)).flatten()
        })
    });
    for (tag, offset) in wanted {
        let bytes = table.and_then(|t| t.get(usize::try_from(offset).ok()?..)).unwrap_or_default();
        let text = String::from_utf8_lossy(bytes.split(|b| *b == 0).next().unwrap_or_default()).into_owned();
        if tag == elf::DT_NEEDED {
            needs.libraries.push(text);
        } else {
            needs.search.extend(text.split(':').filter(|p| !p.is_empty()).map(str::to_owned));
        }
    }
    Ok(needs)
}
