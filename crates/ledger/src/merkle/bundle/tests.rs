use super::*;

#[test]
fn bundles_are_whole_or_nothing() {
    assert_eq!(unbundle(&[]), Ok(vec![]));
    assert_eq!(unbundle(&[0, 2, b'a', b'b', 0, 0, 0, 1, b'c']), Ok(vec![b"ab".to_vec(), vec![], b"c".to_vec()]));
    for torn in [&[0][..], &[0, 2, b'a'], &[0, 1, b'a', 9]] {
        assert_eq!(unbundle(torn), Err(BundleError), "{torn:?}");
    }
}
