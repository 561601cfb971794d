//! A disk that forgets: the files of a folder as a power cut may leave them.
//!
//! What was written is certain when a sync of the file began after the write and ended before the cut; a name is certain
//! when its folder was synced so. Everything else that was begun before the cut may be there or not, a write also in part.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use crate::{
    chance::Chance,
    trace::{Deed, Done},
};

/// What a disk writes as a whole: the smallest that any does.
const SECTOR_BYTES: usize = 512;

/// How much of what is not certain is there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Luck {
    /// Nothing.
    Worst,
    /// Everything, as after a kill.
    Best,
    /// Writes and sectors by lot; names in the order in which they were made, up to some moment, as journals keep them.
    InOrder,
    /// Writes, sectors and names by lot.
    AnyOrder,
}

type File = usize;

/// Something that a cut may undo.
struct Change {
    start: usize,
    end: usize,
    what: What,
}

enum What {
    Bytes {
        file: File,
        offset: usize,
        bytes: Vec<u8>,
    },
    Length {
        file: File,
        length: usize,
    },
    /// Names of one folder; `None` for one that is removed. All of them or none.
    Names {
        folder: PathBuf,
        names: Vec<(PathBuf, Option<Entry>)>,
    },
}

#[derive(Clone, Copy, PartialEq)]
enum Entry {
    File(File),
    Folder,
}

/// A sync, and of what.
pub struct Sync {
    pub start: usize,
    pub end: usize,
    of: Synced,
}

#[derive(PartialEq)]
enum Synced {
    File(File),
    Folder(PathBuf),
}

/// Everything that was done to a folder.
pub struct Disk {
    root: PathBuf,
    /// The names as the process saw them.
    names: BTreeMap<PathBuf, Entry>,
    lengths: Vec<usize>,
    changes: Vec<Change>,
    /// For each change, the line after which it is certain.
    certain: Vec<usize>,
    pub syncs: Vec<Sync>,
    /// What was said, and on which line saying it began.
    pub said: Vec<(usize, Vec<u8>)>,
    /// Lines so far.
    lines: usize,
}

impl Disk {
    /// The folder as it is now, for certain.
    pub fn of(root: &Path) -> Self {
        let mut disk = Self {
            root: root.to_owned(),
            names: BTreeMap::from([(root.to_owned(), Entry::Folder)]),
            lengths: Vec::new(),
            changes: Vec::new(),
            certain: Vec::new(),
            syncs: Vec::new(),
            said: Vec::new(),
            lines: 3,
        };
        let mut waiting = vec![root.to_owned()];
        while let Some(folder) = waiting.pop() {
            for entry in std::fs::read_dir(&folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    disk.deed(0, 0, Deed::MakeFolder { path: path.clone() });
                    waiting.push(path);
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    disk.deed(0, 0, Deed::Open { path: path.clone(), creates: true, truncates: false });
                    disk.deed(0, 0, Deed::Write { path: path.clone(), offset: Some(0), bytes });
                    disk.deed(1, 2, Deed::Sync { path });
                }
            }
            disk.deed(1, 2, Deed::Sync { path: folder });
        }
        disk
    }

    /// What a process did next.
    pub fn trace(&mut self, done: Vec<Done>) {
        let (before, mut last) = (self.lines, 0);
        for Done { start, end, deed } in done {
            self.deed(before + start, before + end, deed);
            last = last.max(end);
        }
        self.lines = before + last + 1;
    }

    /// Deeds come in the order in which they ended.
    fn deed(&mut self, start: usize, end: usize, deed: Deed) {
        let mut change = |what| self.changes.push(Change { start, end, what });
        let folder = |path: &Path| path.parent().unwrap().to_owned();
        match deed {
            Deed::Say { bytes } => self.said.push((start, bytes)),
            Deed::Open { path, creates, truncates } => match self.names.get(&path) {
                Some(Entry::File(file)) if truncates => {
                    change(What::Length { file: *file, length: 0 });
                    self.lengths[*file] = 0;
                }
                None if creates => {
                    let file = self.lengths.len();
                    self.lengths.push(0);
                    self.names.insert(path.clone(), Entry::File(file));
                    change(What::Names { folder: folder(&path), names: vec![(path, Some(Entry::File(file)))] });
                }
                _ => {}
            },
            Deed::Write { path, offset, bytes } => {
                let file = self.file(&path);
                let offset = offset.unwrap_or(self.lengths[file]);
                self.lengths[file] = self.lengths[file].max(offset + bytes.len());
                self.changes.push(Change { start, end, what: What::Bytes { file, offset, bytes } });
            }
            Deed::Truncate { path, length } => {
                let file = self.file(&path);
                self.lengths[file] = length;
                self.changes.push(Change { start, end, what: What::Length { file, length } });
            }
            Deed::Sync { path } => {
                let of = match self.names.get(&path) {
                    Some(Entry::File(file)) => Synced::File(*file),
                    Some(Entry::Folder) => Synced::Folder(path),
                    None => panic!("a sync of {}, which has no name", path.display()),
                };
                self.syncs.push(Sync { start, end, of });
            }
            Deed::MakeFolder { path } => {
                self.names.insert(path.clone(), Entry::Folder);
                change(What::Names { folder: folder(&path), names: vec![(path, Some(Entry::Folder))] });
            }
            Deed::Rename { from, to } => {
                let entry = self.names.remove(&from).unwrap();
                assert_eq!(folder(&from), folder(&to), "within one folder");
                self.names.insert(to.clone(), entry);
                change(What::Names { folder: folder(&to), names: vec![(from, None), (to, Some(entry))] });
            }
            Deed::Link { from, to } => {
                let entry = self.names[&from];
                self.names.insert(to.clone(), entry);
                change(What::Names { folder: folder(&to), names: vec![(to, Some(entry))] });
            }
            Deed::Unlink { path } => {
                self.names.remove(&path);
                change(What::Names { folder: folder(&path), names: vec![(path, None)] });
            }
        }
    }

    fn file(&self, path: &Path) -> File {
        match self.names.get(path) {
            Some(Entry::File(file)) => *file,
            _ => panic!("a write to {}, which was not opened", path.display()),
        }
    }

    /// After which line a change outlives a cut for certain: the end of the first sync that began after it.
    fn certain_after(&self, change: &Change) -> usize {
        let covers = |sync: &&Sync| match (&change.what, &sync.of) {
            (What::Bytes { file, .. } | What::Length { file, .. }, Synced::File(of)) => file == of,
            (What::Names { folder, .. }, Synced::Folder(of)) => folder == of,
            _ => false,
        };
        let ends = self.syncs.iter().filter(|sync| sync.start > change.end).filter(covers).map(|sync| sync.end);
        ends.min().unwrap_or(usize::MAX)
    }

    /// To be called once, when everything is traced.
    pub fn settle(&mut self) {
        self.certain = self.changes.iter().map(|change| self.certain_after(change)).collect();
    }

    /// Puts what is left after a cut at this line into an empty folder.
    pub fn cut(&self, cut: usize, luck: Luck, chance: &mut Chance, to: &Path) {
        let all = self.changes.iter().zip(&self.certain);
        let begun: Vec<_> = all.filter(|(change, _)| change.start < cut).collect();
        // In order: up to which of them names are kept.
        let until = chance.below(begun.len() as u64 + 1);
        let mut names = BTreeMap::from([(self.root.clone(), Entry::Folder)]);
        let mut files: Vec<Vec<u8>> = vec![Vec::new(); self.lengths.len()];
        for (place, (change, certain_after)) in (0..).zip(begun) {
            let certain = *certain_after < cut;
            match &change.what {
                What::Names { names: changed, .. } => {
                    let is_there = match luck {
                        Luck::Worst => certain,
                        Luck::Best => true,
                        Luck::InOrder => certain || place < until,
                        Luck::AnyOrder => certain || chance.below(2) == 0,
                    };
                    for (path, entry) in changed.iter().filter(|_| is_there) {
                        match entry {
                            Some(entry) => drop(names.insert(path.clone(), *entry)),
                            None => drop(names.remove(path)),
                        }
                    }
                }
                What::Length { file, length } => {
                    if certain || luck == Luck::Best || luck != Luck::Worst && chance.below(2) == 0 {
                        files[*file].resize(*length, 0);
                    }
                }
                What::Bytes { file, offset, bytes } => {
                    let keeps = |chance: &mut Chance| match luck {
                        Luck::Worst => certain,
                        Luck::Best => true,
                        Luck::InOrder | Luck::AnyOrder => certain || chance.below(3) > 0,
                    };
                    if keeps(chance) {
                        let by_sector = !certain && luck != Luck::Best && chance.below(3) == 0;
                        write(&mut files[*file], *offset, bytes, |_| !by_sector || chance.below(2) == 0);
                    }
                }
            }
        }
        for (path, entry) in names {
            let there = to.join(path.strip_prefix(&self.root).unwrap());
            // A name in a folder that has none is lost.
            if !there.parent().is_some_and(Path::is_dir) {
                continue;
            }
            match entry {
                Entry::Folder if there == to => {}
                Entry::Folder => std::fs::create_dir(there).unwrap(),
                Entry::File(file) => std::fs::write(there, &files[file]).unwrap(),
            }
        }
    }
}

/// Writes the sectors that are kept; the file is as long as the last of them asks for, and has zeroes where nothing is.
fn write(file: &mut Vec<u8>, offset: usize, bytes: &[u8], mut keeps: impl FnMut(usize) -> bool) {
    let mut at = offset;
    while at < offset + bytes.len() {
        let end = (at / SECTOR_BYTES + 1) * SECTOR_BYTES;
        let end = end.min(offset + bytes.len());
        if keeps(at / SECTOR_BYTES) {
            if file.len() < end {
                file.resize(end, 0);
            }
            file[at..end].copy_from_slice(&bytes[at - offset..end - offset]);
        }
        at = end;
    }
}
