#![expect(clippy::disallowed_methods, reason = "a torn fixture is harmless")]

use std::fs;

use super::*;

const GOOD: &str = r#"
target = "http://127.0.0.1:8080"
data = "symbols.csv"
[[arrivals]]
rate = 100
seconds = 2
[[arrivals]]
from = 100
to = 300
steps = 3
seconds = 3
[[request]]
name = "quote"
weight = 9
path = "/quote/{{symbol}}"
[[request]]
name = "order"
path = "/orders"
body = '{"symbol": "{{symbol}}", "id": {{number}}}'
headers = { content-type = "application/json", x-user = "{{user}}" }
check = { status = [201], json = { "/state" = "taken" } }
"#;

fn folder(rows: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("symbols.csv"), format!("symbol,user\n{rows}")).unwrap();
    folder
}

fn parse(text: &str) -> Result<Scenario, String> {
    Scenario::parse(text, folder("EURUSD,ada\nUSDCHF,ben\n").path()).map_err(|e| {
        let mut words = e.to_string();
        if let ScenarioError::Toml(inner) = e {
            words += &inner.to_string();
        }
        words
    })
}

#[test]
fn a_whole_scenario_is_read() {
    let scenario = parse(GOOD).unwrap();
    assert_eq!(scenario.kinds, ["quote", "order"]);
    assert_eq!(scenario.requests[0].method, "GET");
    assert_eq!(scenario.requests[1].method, "POST");
    assert_eq!(scenario.rows.len(), 2);
    let Arrivals::Rates { segments, spacing: Spacing::Even } = &scenario.arrivals else { panic!("{scenario:?}") };
    assert_eq!(segments.iter().map(|s| s.from).collect::<Vec<_>>(), [100.0, 100.0, 200.0, 300.0]);
    assert!((scenario.arrivals.seconds() - 5.0).abs() < 1e-9);
}

#[test]
fn what_would_go_wrong_later_is_refused_before() {
    let change = |from: &str, to: &str| {
        assert!(GOOD.contains(from), "{from}");
        parse(&GOOD.replace(from, to)).unwrap_err()
    };
    for (from, to, words) in [
        ("{{symbol}}\"\n[[request]]", "{{symbl}}\"\n[[request]]", "`symbl` is no value"),
        ("\"/orders\"", "\"orders\"", "begin with `/`"),
        ("\"/orders\"", "\"/orders now\"", "without spaces"),
        ("name = \"order\"", "name = \"quote\"", "two of the name"),
        ("rate = 100", "rate = -1", "a rate is 0 to"),
        ("rate = 100", "rate = 100\nfrom = 3", "`rate`, or `from` and `to`"),
        ("seconds = 2", "seconds = 0", "`seconds` is above 0"),
        ("steps = 3", "steps = 1", "`steps` is 2 to"),
        ("status = [201]", "status = [20]", "no HTTP status"),
        ("weight = 9", "wait = 9", "unknown field"),
        ("http://127.0.0.1:8080", "ftp://127.0.0.1", "`http` or `https`"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/api", "requests name their paths"),
        ("content-type =", "content-length =", "follows from the request"),
        ("data = \"symbols.csv\"", "connections = 0", "`connections` is 1 to"),
    ] {
        let said = change(from, to);
        assert!(said.contains(words), "{to}: {said}");
    }
    assert!(parse("[[arrivals]]\nrate = 1\nseconds = 1").unwrap_err().contains("nothing to send"));
    assert!(parse("[[request]]\nname = 'a'\npath = '/'").unwrap_err().contains("when?"));
}

#[test]
fn a_value_that_would_end_a_header_or_a_path_names_its_row() {
    let said = Scenario::parse(GOOD, folder("EURUSD,ada\nUSD CHF,ben\n").path()).unwrap_err().to_string();
    assert!(said.contains("`symbol` in row 2") && said.contains("a path"), "{said}");
    let said = Scenario::parse(GOOD, folder("EURUSD,\"ada\r\nx: y\"\n").path()).unwrap_err().to_string();
    assert!(said.contains("`user` in row 1") && said.contains("a header"), "{said}");
    assert!(Scenario::parse(GOOD, folder("").path()).unwrap_err().to_string().contains("no row"));
}

#[test]
fn recorded_traffic_keeps_its_order_and_its_distances() {
    let folder = tempfile::tempdir().unwrap();
    let lines = concat!(
        "{\"at_ms\": 1000, \"path\": \"/b?x={{y}}\", \"name\": \"look\"}\n",
        "{\"at_ms\": 900.5, \"method\": \"POST\", \"path\": \"/a\", \"body\": \"one\", \"headers\": {\"Host\": \"then\", \"X-A\": \"b\"}}\n",
    );
    fs::write(folder.path().join("t.jsonl"), lines).unwrap();
    let scenario = Scenario::parse("traffic = \"t.jsonl\"\nspeed = 2", folder.path()).unwrap();
    assert_eq!(scenario.kinds, ["POST", "look"]);
    assert_eq!(scenario.arrivals, Arrivals::Recorded(vec![0, 49_750_000]));
    assert_eq!(scenario.requests[0].headers.len(), 1);
    assert!(scenario.requests[1].path.is_fixed());
    fs::write(folder.path().join("t.jsonl"), "{\"at_ms\": 1}\n").unwrap();
    let said = Scenario::parse("traffic = \"t.jsonl\"", folder.path()).unwrap_err().to_string();
    assert!(said.contains("line 1") && said.contains("path"), "{said}");
}

#[test]
fn a_har_file_is_traffic_too() {
    let folder = tempfile::tempdir().unwrap();
    let har = r#"{"log":{"version":"1.2","creator":{"name":"x","version":"1"},"entries":[
        {"startedDateTime":"2026-11-24T10:00:00.250+01:00","time":3,"request":{"method":"POST","url":"https://pay.example/orders?a=b#c",
         "headers":[{"name":":authority","value":"pay.example"},{"name":"accept","value":"*/*"}],"postData":{"mimeType":"text/plain","text":"hello"}}},
        {"startedDateTime":"2026-11-24T09:00:00Z","time":3,"request":{"method":"GET","url":"https://pay.example/","headers":[]}}]}}"#;
    fs::write(folder.path().join("t.har"), har).unwrap();
    let scenario = Scenario::parse("traffic = \"t.har\"", folder.path()).unwrap();
    assert_eq!(scenario.kinds, ["GET", "POST"]);
    assert_eq!(scenario.arrivals, Arrivals::Recorded(vec![0, 250_000_000]));
    assert_eq!(scenario.requests[1].headers.len(), 1);
    assert_eq!(scenario.requests[1].path, Template::fixed("/orders?a=b"));
}

#[test]
fn recorded_times_go_with_requests_by_weight() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("times"), "0\n1.5\n20\n").unwrap();
    let text = "[[arrivals]]\nrecorded = 'times'\n[[request]]\nname = 'a'\npath = '/'";
    assert_eq!(
        Scenario::parse(text, folder.path()).unwrap().arrivals,
        Arrivals::Recorded(vec![0, 1_500_000, 20_000_000])
    );
    fs::write(folder.path().join("times"), "3\n2\n").unwrap();
    let said = Scenario::parse(text, folder.path()).unwrap_err().to_string();
    assert!(said.contains("line 2") && said.contains("earlier"), "{said}");
}
