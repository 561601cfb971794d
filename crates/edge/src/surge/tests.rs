use hyper::header::HeaderValue;
use model::release::HeaderIs;

use super::*;

fn class(paths: &[&str], methods: &[&str], header: Option<(&str, &str)>) -> PriorityClass {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let header = header.map(|(name, value)| HeaderIs { name: name.to_owned(), value: value.to_owned() });
    PriorityClass { name: "a".to_owned(), paths: texts(paths), methods: texts(methods), header }
}

#[test]
fn a_request_is_of_the_class_that_it_says_and_of_no_other() {
    let mut headers = HeaderMap::new();
    headers.insert("x-desk", HeaderValue::from_static("rates"));
    let is = |class: &PriorityClass, method: Method, path: &str| is_of(class, &method, path, &headers);
    let settlement = class(&["/settlements"], &[], None);
    for path in ["/settlements", "/settlements/", "/settlements/7"] {
        assert!(is(&settlement, Method::GET, path), "{path}");
    }
    for path in [
        "/settlementsx",
        "/",
        "/quotes/settlements",
        "/settlements/../quotes",
        "/settlements/%2e%2E/quotes",
        "/settlements%2fx",
        "/settlements//x",
        "/settlements/;/../x",
        "/settlements/..%5cquotes",
    ] {
        assert!(!is(&settlement, Method::GET, path), "{path}");
    }
    assert!(is(&class(&["/"], &["POST"], None), Method::POST, "/x"));
    assert!(!is(&class(&["/"], &["POST"], None), Method::GET, "/x"));
    assert!(is(&class(&[], &[], Some(("x-desk", "rates"))), Method::GET, "/a/../b"));
    assert!(!is(&class(&[], &[], Some(("x-desk", "rate"))), Method::GET, "/"));
}

#[tokio::test]
async fn a_turn_that_nobody_waits_for_any_more_is_given_back() {
    let rules = Surge { queue_ms: 10_000, ..Surge::default() };
    let admission = Admission::new(&rules);
    let mut inside = Vec::new();
    let most = locked(&admission.queue).limit.now();
    for _ in 0..most {
        inside.push(admission.enter(0).await.unwrap());
    }
    let mut waiting = tokio_test_poll(Box::pin(admission.enter(0))).await;
    // Its turn comes, and its client leaves before it is looked at.
    inside.pop().unwrap().done();
    assert_eq!(locked(&admission.queue).in_flight(), most);
    waiting.take();
    assert_eq!(locked(&admission.queue).in_flight(), most - 1);
    assert!(admission.enter(0).await.is_ok());
}

/// Polls once, and gives back what still waits.
async fn tokio_test_poll<F: Future + Unpin>(mut future: F) -> Option<F> {
    std::future::poll_fn(|cx| {
        assert!(std::pin::Pin::new(&mut future).poll(cx).is_pending());
        std::task::Poll::Ready(())
    })
    .await;
    Some(future)
}

#[tokio::test]
async fn a_request_whose_client_resets_it_keeps_its_place_as_long_as_an_answer_takes() {
    let admission = Admission::new(&Surge { queue_ms: 10_000, ..Surge::default() });
    let first = admission.enter(0).await.unwrap();
    // The component is known to take an hour, so that the place is still taken when this test looks.
    for at in 0..20u64 {
        locked(&admission.queue).limit.answered(0, 0, 3_600_000_000, 0, 200_000 * (at + 1));
    }
    drop(first);
    assert_eq!(locked(&admission.queue).in_flight(), 1);
}

#[test]
fn clients_are_told_to_come_back_at_different_times() {
    let admission = Admission::new(&Surge { queue_ms: 1, ..Surge::default() });
    let after: std::collections::BTreeSet<u64> = (0..50)
        .filter_map(|_| match admission.refuse(0, |counter| &counter.overload) {
            Refusal::Overload { after_s } => Some(after_s),
            _ => None,
        })
        .collect();
    assert!(after.len() >= 3, "{after:?}");
    assert!(after.iter().all(|after_s| (1..=MAX_RETRY_AFTER_S).contains(after_s)), "{after:?}");
}
