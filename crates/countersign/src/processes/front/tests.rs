use axum::http::HeaderValue;

use super::*;

fn asks(values: &[&str]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for value in values {
        headers.append(header::ACCEPT_ENCODING, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn entries_are_compressed_for_who_takes_it() {
    for (values, takes) in [
        (&[][..], false),
        (&["identity"], false),
        (&["gzip"], true),
        (&["br, GZIP;q=0.5"], true),
        (&["br", "gzip;q=1"], true),
        (&["gzip;q=0"], false),
        (&["gzip; q=0.0"], false),
        (&["gzipped"], false),
    ] {
        assert_eq!(takes_gzip(&asks(values)), takes, "{values:?}");
    }
    let body = Bytes::from(vec![7_u8; 4_000]);
    let entries = tile("tile/entries/000".parse().unwrap(), &asks(&["gzip"]), body.clone()).unwrap();
    assert_eq!(entries.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!(entries.headers()[header::CONTENT_TYPE], "application/octet-stream");
    let hashes = tile("tile/0/000".parse().unwrap(), &asks(&["gzip"]), body.clone()).unwrap();
    assert!(!hashes.headers().contains_key(header::CONTENT_ENCODING));
    assert_eq!(hashes.headers()[header::CACHE_CONTROL], "public, max-age=31536000, immutable");
    let checkpoint = tile(TilePath::Checkpoint, &asks(&[]), body).unwrap();
    assert_eq!(checkpoint.headers()[header::CONTENT_TYPE], "text/plain; charset=utf-8");
    assert_eq!(checkpoint.headers()[header::CACHE_CONTROL], "no-cache");
}
