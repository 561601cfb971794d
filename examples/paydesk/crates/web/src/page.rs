//! The page.

use std::{
    fmt::Write,
    fs::File,
    io::{self, Read},
};

use serde_json::Value;

/// A key for one form, so that sending it twice pays once.
pub fn new_key() -> io::Result<String> {
    let mut bytes = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().fold("form-".to_owned(), |mut key, byte| {
        // Writing to a text can not fail.
        let _ = write!(key, "{byte:02x}");
        key
    }))
}

/// The whole page.
pub fn render(latest: &Value, key: &str, currency: &str, serial: &str, problem: Option<&str>) -> String {
    let mut rows = String::new();
    for payment in latest.get("payments").and_then(Value::as_array).into_iter().flatten() {
        let text = |name| escaped(payment.get(name).and_then(Value::as_str).unwrap_or_default());
        let _ = writeln!(
            rows,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td class=amount>{} {}</td></tr>",
            payment.get("id").unwrap_or(&Value::Null),
            text("from"),
            text("to"),
            text("amount"),
            text("currency"),
        );
    }
    let problem = problem.map(|p| format!("<p class=problem role=alert>{}</p>", escaped(p))).unwrap_or_default();
    let (currency, serial) = (escaped(currency), escaped(serial));
    format!(
        "<!DOCTYPE html>
<html lang=en>
<meta charset=utf-8>
<title>Pay desk</title>
<style>
body {{ font: 16px system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem }}
label {{ display: block; margin: .4rem 0 }} input {{ font: inherit }}
table {{ border-collapse: collapse; width: 100%; margin-top: 1.5rem }}
td, th {{ text-align: left; padding: .3rem; border-bottom: 1px solid #ddd }} .amount {{ text-align: right }}
.problem {{ color: #a00 }} footer {{ color: #666; margin-top: 2rem; font-size: 14px }}
</style>
<h1>Pay desk</h1>
{problem}<form method=post action=/pay>
<input type=hidden name=key value={key}>
<label>From <input name=from required></label>
<label>To <input name=to required></label>
<label>Amount <input name=amount inputmode=decimal required> {currency}</label>
<button>Pay</button>
</form>
<table>
<tr><th>No.</th><th>From</th><th>To</th><th class=amount>Amount</th></tr>
{rows}</table>
<footer>paydesk {serial}</footer>
</html>
"
    )
}

fn escaped(text: &str) -> String {
    text.chars().fold(String::new(), |mut safe, c| {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            other => safe.push(other),
        }
        safe
    })
}
