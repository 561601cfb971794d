use super::*;

/// The answer to a request, said by a server in pieces of some bytes, and then the end.
fn answer(said: &[u8], piece: usize, is_head: bool) -> Result<Answer, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let (near, mut far) = tokio::io::duplex(1 << 16);
        let said = said.to_vec();
        let server = async move {
            let mut asked = [0; 3];
            far.read_exact(&mut asked).await.unwrap();
            for piece in said.chunks(piece) {
                if far.write_all(piece).await.is_err() {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let mut client = Http1::new(near);
        tokio::join!(client.exchange(b"ask", is_head, true), server).0
    })
}

fn same_in_pieces(said: &[u8]) -> Result<Answer, Failure> {
    let whole = answer(said, said.len(), false);
    for piece in [1, 2, 3, 7] {
        assert_eq!(answer(said, piece, false), whole, "pieces of {piece}");
    }
    whole
}

#[test]
fn a_known_length_is_read_and_the_connection_lasts() {
    let answer = same_in_pieces(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello").unwrap();
    assert_eq!(answer, Answer { status: 200, body: b"hello".to_vec(), lasts: true });
}

#[test]
fn chunks_with_extensions_and_trailers_are_read() {
    let said =
        b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nhel\r\n2\r\nlo\r\n0\r\nx-sum: 1\r\n\r\n";
    assert_eq!(same_in_pieces(said).unwrap(), Answer { status: 201, body: b"hello".to_vec(), lasts: true });
}

#[test]
fn without_a_length_the_body_goes_to_the_end() {
    let answer = same_in_pieces(b"HTTP/1.1 200 OK\r\n\r\nhello").unwrap();
    assert_eq!(answer, Answer { status: 200, body: b"hello".to_vec(), lasts: false });
}

#[test]
fn an_interim_answer_is_not_the_answer() {
    let answer = same_in_pieces(b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n").unwrap();
    assert_eq!((answer.status, answer.lasts), (204, true));
}

#[test]
fn a_head_has_no_body_whatever_its_length() {
    let answer = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", 100, true).unwrap();
    assert!(answer.body.is_empty() && answer.lasts);
}

#[test]
fn a_connection_that_is_to_end_or_has_more_to_say_does_not_last() {
    assert!(!same_in_pieces(b"HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n").unwrap().lasts);
    assert!(!same_in_pieces(b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").unwrap().lasts);
    assert!(!answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab", 100, false).unwrap().lasts);
}

#[test]
fn what_is_no_answer_fails() {
    for (said, failure) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel"[..], Failure::Closed),
        (b"HTTP/1.1 200 OK\r\nContent-Len", Failure::Closed),
        (b"SSH-2.0-x\r\n", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n", Failure::Protocol),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Failure::Protocol),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", Failure::Protocol),
    ] {
        assert_eq!(same_in_pieces(said), Err(failure), "{}", String::from_utf8_lossy(said));
    }
}
