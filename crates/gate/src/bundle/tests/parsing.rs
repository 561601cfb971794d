use proptest::prelude::*;

use super::*;

#[test]
fn a_file_is_written_as_it_was_read() {
    let (world, _, index) = judged();
    for mut bundle in [whole(&world, index), selected(&world, index)] {
        for bodies in [Vec::new(), vec![Body::of([[7; 32].as_slice(), b"a reason"].concat())]] {
            bundle.bodies = bodies;
            let text = bundle.to_text();
            let read = Bundle::parse(text.as_bytes()).unwrap();
            assert_eq!(read, bundle);
            assert_eq!(read.to_text(), text);
        }
    }
}

#[test]
fn what_is_not_a_bundle() {
    let (world, _, index) = judged();
    let bundle = selected(&world, index);
    let text = bundle.to_text();
    let line = |number: usize| text.lines().nth(number - 1).unwrap();
    let notice = line(2).to_owned();
    let rows: Vec<(&str, String)> = vec![
        ("the first line is not `countersign.dev/bundle/v1`", String::new()),
        ("the first line is not `countersign.dev/bundle/v1`", text.replacen("/v1", "/v2", 1)),
        ("line 2 is not the notice that belongs to what the bundle holds", text.replacen(&notice, "notice x", 1)),
        ("line 3 is not the form, `whole` or `selected`", text.replacen("form selected", "form partial", 1)),
        ("line 4 is not the hash of the charter", text.replacen("charter sha256:", "charter sha512:", 1)),
        ("line 5 is not the log index of the verdict", text.replacen("verdict ", "verdict 0", 1)),
        ("line 5 is not the log index of the verdict", text.replacen("verdict ", "verdict +", 1)),
        ("line 6 is not `entry`, a log index and the hashes of its proof", text.replacen("entry 0 ", "entry 00 ", 1)),
        ("line 6 is not `entry`, a log index and the hashes of its proof", text.replacen("entry 0 ", "entry 0  ", 1)),
        ("line 6 is not an entry of a whole bundle, which has no proof", text.replacen("selected", "whole", 1)),
        ("line 7 is not an entry of the log", text.replacen(line(7), &"x".repeat(65_536), 1)),
        ("line 8 is not an entry, a body, or the blank line before the checkpoint", text.replacen("entry 1", "x", 1)),
        ("entry 0 stands after entry 0; entries stand in the order of the log, each once", {
            text.replacen(line(6), &format!("{}\n{}\n{}", line(6), line(7), line(6)), 1)
        }),
        ("line 4 is not the hash of the charter", text.lines().take(3).collect::<Vec<_>>().join("\n")),
        (
            "line 8 is not a blank line with the checkpoint after it",
            text.lines().take(7).collect::<Vec<_>>().join("\n"),
        ),
    ];
    for (wanted, text) in rows {
        assert_eq!(Bundle::parse(text.as_bytes()).unwrap_err().to_string(), wanted);
    }
    assert_eq!(Bundle::parse(&[0xff]).unwrap_err().to_string(), "the file is not UTF-8 text");
    let large = vec![b'a'; FILE_LIMIT_BYTES + 1];
    assert_eq!(Bundle::parse(&large).unwrap_err().to_string(), "the file is larger than 33554432 bytes");
    let many = Bundle {
        form: Form::Whole,
        entries: (0..=ENTRY_LIMIT as u64).map(|index| Entry { index, proof: vec![], bytes: b"x".to_vec() }).collect(),
        ..bundle
    };
    let error = Bundle::parse(many.to_text().as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "the file has more than 5000 entries");
}

#[test]
fn bodies_are_checked_and_stand_once() {
    let (world, _, index) = judged();
    let mut bundle = whole(&world, index);
    let mut bodies: Vec<Body> = [b"one", b"two"].map(|b| Body::of([[7; 32].as_slice(), b].concat())).into();
    bodies.sort_by_key(|b| b.commitment);
    bundle.bodies = bodies.clone();
    assert_eq!(bundle.bodies[0].bytes().len(), 3);
    Bundle::parse(bundle.to_text().as_bytes()).unwrap();
    let error = |bodies: Vec<Body>| {
        let bundle = Bundle { bodies, ..bundle.clone() };
        Bundle::parse(bundle.to_text().as_bytes()).unwrap_err().to_string()
    };
    assert!(
        error(vec![bodies[0].clone(), bodies[0].clone()])
            .ends_with("a body in the order of the commitments, each once")
    );
    let other = Body { commitment: bodies[0].commitment, salted: bodies[1].salted.clone() };
    assert_eq!(
        error(vec![other]),
        format!("the body of {} is not the one that was committed to", bodies[0].commitment)
    );
    assert!(error(vec![Body::of(vec![7; 31])]).ends_with("`body`, a commitment, and salt and body in base64"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever the bytes are, reading them ends, and what was read is written back.
    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let front = format!("{VERSION}\n");
        for text in [bytes.clone(), [front.as_bytes(), &bytes].concat()] {
            if let Ok(bundle) = Bundle::parse(&text) {
                prop_assert_eq!(bundle.to_text().into_bytes(), text);
            }
        }
    }

    /// A bundle with one byte changed is refused, or is read as what it says and proves nothing else.
    #[test]
    fn any_byte_changed(at in any::<proptest::sample::Index>(), byte in any::<u8>()) {
        thread_local!(static ONE: (World, String) = {
            let (world, _, index) = judged();
            let text = selected(&world, index).to_text();
            (world, text)
        });
        ONE.with(|(world, text)| {
            let mut bytes = text.clone().into_bytes();
            let at = at.index(bytes.len());
            let is_same = bytes[at] == byte;
            bytes[at] = byte;
            let report = verify(&bytes, world.hash());
            if !is_same {
                // Lines of signatures by strangers may stand under a checkpoint, so what is not ours there is passed over.
                let note = text.rfind("\n\n").unwrap();
                prop_assert!(report.is_err() || at > note, "{} at {at}", bytes[at]);
            }
            Ok(())
        })?;
    }
}
