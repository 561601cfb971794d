use super::{anchors, check};
use crate::check::fixture::{places, printed};

const OTHER: (&str, &str) =
    ("docs/decisions/one.md", "# One\n\n## Why `runc`, and what not?\n\n## Again\n\n## Again\n");

#[test]
fn links_that_lead_somewhere_are_not_found() {
    let text = "# A b\n[x](docs/decisions/one.md) [y](docs/decisions/one.md#why-runc-and-what-not) [z](#a-b)\n\
                [w](docs) ![p](docs/picture.png \"title\") [v](https://example.org/x) <mailto:a@b> [u](mailto:a@b)\n\
                [t](docs/decisions/one.md#again-1) [s](./docs/../docs/decisions)\n[r]: docs/decisions/one.md\n\
                `[code](nowhere)`\n```\n[code](nowhere)\n```\n";
    assert_eq!(places(check, &[("README.md", text), OTHER]), [""; 0]);
}

#[test]
fn broken_links_are_found() {
    let text = "[x](two.md)\n[y](one.md#how)\n[z](../../../x)\n[w](/docs)\n[v]: gone.md\n[u](#none)\n";
    assert_eq!(
        printed(check, &[("docs/decisions/a.md", text), OTHER]),
        [
            "docs/decisions/a.md:1: doc-link: `two.md` is not there: correct the path",
            "docs/decisions/a.md:2: doc-link: `one.md#how` has no such heading in `docs/decisions/one.md`: correct the part after `#`",
            "docs/decisions/a.md:3: doc-link: `../../../x` leads out of the repository: link to a file in it",
            "docs/decisions/a.md:4: doc-link: `/docs` leads out of the repository: link to a file in it",
            "docs/decisions/a.md:5: doc-link: `gone.md` is not there: correct the path",
            "docs/decisions/a.md:6: doc-link: `#none` has no such heading in `docs/decisions/a.md`: correct the part after `#`",
        ]
    );
}

#[test]
fn anchors_of_headings() {
    assert_eq!(anchors("# A\n```\n# no heading\n```\n## B: c & d\n"), ["a", "b-c--d"]);
}
