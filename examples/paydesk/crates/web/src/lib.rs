//! The web front: a page for people and the same payments as JSON. It holds nothing and knows no secret.

mod page;

use std::{error::Error, time::Duration};

use paydesk_http::{Answer, Outcome, Peers, Request, Response, Settings, field, serve};
use serde_json::{Value, json};

/// A thread waits while payments works.
const THREADS: usize = 24;
/// Longer than payments waits for the ledger.
const PAYMENTS_TIMEOUT: Duration = Duration::from_secs(18);

/// Serves until told to stop.
pub fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let web = Web {
        payments: Peers::from_environment("COUNTERSIGN_PEER_PAYMENTS", PAYMENTS_TIMEOUT)?,
        currency: std::env::var("PAYDESK_CURRENCY").unwrap_or_else(|_| "EUR".to_owned()),
        serial: settings.serial.clone(),
    };
    serve(&settings, THREADS, move |request| web.answer(request))?;
    Ok(())
}

struct Web {
    payments: Peers,
    currency: String,
    serial: String,
}

impl Web {
    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health") => Response::json(200, &json!({ "status": "ok", "serial": self.serial })),
            ("GET", "/") => self.page(None),
            ("POST", "/pay") => self.pay_by_form(request),
            ("GET" | "POST", "/payments") | ("GET", "/balance" | "/audit") => self.pass_on(request),
            (_, "/" | "/pay" | "/payments" | "/balance" | "/audit" | "/health") => {
                Response::error(405, "not with this method")
            }
            _ => Response::error(404, "there is nothing here"),
        }
    }

    fn pass_on(&self, request: &Request) -> Response {
        let mut headers = vec![("Content-Type", "application/json")];
        headers.extend(request.header("idempotency-key").map(|key| ("Idempotency-Key", key)));
        let target = format!("{}?{}", request.path, request.query);
        match self.payments.ask(&request.method, &target, &headers, &request.body) {
            Ok(Answer { status, body }) => {
                Response { status, content_type: "application/json", headers: Vec::new(), body }
            }
            Err(e) => {
                eprintln!("payments: {e}");
                Response::error(502, "payments did not answer; asking again with the same key is safe")
            }
        }
    }

    fn pay_by_form(&self, request: &Request) -> Response {
        let text = |name| field(&request.body, name).unwrap_or_default();
        let order =
            json!({ "from": text("from"), "to": text("to"), "amount": text("amount"), "currency": self.currency });
        let key = text("key");
        let headers = [("Content-Type", "application/json"), ("Idempotency-Key", key.as_str())];
        match self.payments.ask("POST", "/payments", &headers, order.to_string().as_bytes()) {
            Ok(answer) if answer.status < 300 => Response::see_other("/"),
            outcome => self.page(Some(&problem(outcome))),
        }
    }

    /// The form and the latest payments; with a problem, the status says that nothing was booked.
    fn page(&self, problem: Option<&str>) -> Response {
        let latest = match self.payments.ask("GET", "/payments?limit=20", &[], b"") {
            Ok(answer) if answer.status == 200 => serde_json::from_slice(&answer.body).unwrap_or(Value::Null),
            _ => return Response::error(502, "payments did not answer"),
        };
        match page::new_key() {
            Ok(key) => {
                let mut response = Response::html(page::render(&latest, &key, &self.currency, &self.serial, problem));
                response.status = if problem.is_some() { 422 } else { 200 };
                response
            }
            Err(e) => {
                eprintln!("no random numbers: {e}");
                Response::error(500, "no key could be made")
            }
        }
    }
}

fn problem(outcome: Outcome) -> String {
    outcome
        .ok()
        .and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok())
        .and_then(|value| value.get("error")?.as_str().map(str::to_owned))
        .unwrap_or_else(|| "payments did not answer; nothing is booked twice if you try again".to_owned())
}
