use super::{HOMES, check};
use crate::check::fixture::places;

#[test]
fn homes_and_the_repositorys_own_place_are_found() {
    let text = format!("first\nsee {}ann/notes\nand /somewhere/countersign/crates\n", HOMES[0]);
    assert_eq!(places(check, &[("docs/a.md", &text)]), ["docs/a.md:2", "docs/a.md:3"]);
    for home in HOMES {
        assert_eq!(places(check, &[("a.toml", &format!("x = \"{home}bob\""))]), ["a.toml:1"], "{home}");
    }
}

#[test]
fn other_paths_are_not() {
    let home = HOMES[0];
    let text =
        format!("`{home}` alone, ~/x, a{home}b, /usr/lib, /somewhere/countersigned, /else/somewhere/countersign");
    assert!(places(check, &[("docs/a.md", &text)]).is_empty());
}
