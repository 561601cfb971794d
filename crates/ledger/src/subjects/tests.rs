use super::*;

#[test]
fn a_file_is_of_one_tree_and_read_as_it_was_written() {
    let mut subjects = Subjects { size: 9, ..Subjects::default() };
    for (name, list) in [("digest sha256:aa", vec![1, 2, 8]), ("person ada", vec![0, 7]), ("commit 00", vec![3])] {
        let number = subjects.number(name.to_owned());
        subjects.lists[number as usize] = list;
    }
    subjects.things.insert(2, vec![0, 2]);
    subjects.ticks.push((5, Timestamp::from_unix(77)));
    let root = Digest::of(b"root");
    let bytes = subjects.to_bytes(root);
    let read = Subjects::from_bytes(&bytes, 9, root).unwrap();
    for name in ["digest sha256:aa", "person ada", "commit 00", "person ben"] {
        assert_eq!(read.about(name), subjects.about(name), "{name}");
    }
    assert_eq!((read.covered(4), read.covered(5)), (Some(Timestamp::from_unix(77)), None));
    assert_eq!(read.to_bytes(root), bytes);
    assert_eq!(read.beginning_with("p", 5), ["person ada"]);
    assert_eq!(Subjects::from_bytes(&bytes, 8, root), None);
    assert_eq!(Subjects::from_bytes(&bytes, 9, Digest::of(b"another")), None);
    assert_eq!(Subjects::from_bytes(&bytes[..bytes.len() - 3], 9, root), None);
}
