//! Requests and responses as handlers see them.

use serde_json::{Value, json};

/// A request that was read whole.
pub struct Request {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path without the query.
    pub path: String,
    /// What follows `?`, undecoded; empty if nothing does.
    pub query: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body, at most `wire::BODY_MAX_BYTES`.
    pub body: Vec<u8>,
}

impl Request {
    /// The first header of this name (in lower case).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The first value of a name in the query, decoded.
    pub fn parameter(&self, name: &str) -> Option<String> {
        field(self.query.as_bytes(), name)
    }

    /// The body as JSON, or the response that says what is wrong with it.
    pub fn json(&self) -> Result<Value, Response> {
        serde_json::from_slice(&self.body).map_err(|e| Response::error(400, &format!("the body is not JSON: {e}")))
    }
}

/// A response.
pub struct Response {
    /// The status code.
    pub status: u16,
    /// `Content-Type`.
    pub content_type: &'static str,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Response {
    /// A JSON document.
    pub fn json(status: u16, value: &Value) -> Self {
        Self { status, content_type: "application/json", headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    /// `{"error": …}`.
    pub fn error(status: u16, message: &str) -> Self {
        Self::json(status, &json!({ "error": message }))
    }

    /// A page.
    pub fn html(body: String) -> Self {
        Self { status: 200, content_type: "text/html; charset=utf-8", headers: Vec::new(), body: body.into_bytes() }
    }

    /// Go there and `GET` it.
    pub fn see_other(location: &str) -> Self {
        let mut response = Self::json(303, &Value::Null);
        response.headers.push(("Location", location.to_owned()));
        response
    }
}

/// The first value of a name in a query or an `application/x-www-form-urlencoded` body.
pub fn field(form: &[u8], name: &str) -> Option<String> {
    form.split(|b| *b == b'&').find_map(|pair| {
        let mut parts = pair.splitn(2, |b| *b == b'=');
        let found = decode(parts.next()?)?;
        (found == name).then(|| decode(parts.next().unwrap_or_default())).flatten()
    })
}

/// A text member of a JSON object.
pub fn json_text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name)?.as_str()
}

fn decode(text: &[u8]) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [*rest.next()?, *rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            other => *other,
        });
    }
    String::from_utf8(bytes).ok()
}
