//! The payments API: checks orders and asks the ledger to book them. It keeps nothing, so any number may run.

use std::{error::Error, time::Duration};

use paydesk_http::{Outcome, Peers, Request, Response, Settings, json_text, serve};
use paydesk_money::Order;
use serde_json::{Value, json};

/// A thread waits while the ledger works, or while a new version of it takes over.
const THREADS: usize = 48;
/// The ledger may be held for ten seconds when it is replaced.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(12);

/// Serves until told to stop.
pub fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let payments = Payments {
        authorization: format!("Bearer {}", Settings::secret("PAYDESK_TOKEN_FILE")?),
        ledger: Peers::from_environment("COUNTERSIGN_PEER_LEDGER", LEDGER_TIMEOUT)?,
        serial: settings.serial.clone(),
    };
    serve(&settings, THREADS, move |request| payments.answer(request))?;
    Ok(())
}

struct Payments {
    ledger: Peers,
    authorization: String,
    serial: String,
}

impl Payments {
    fn answer(&self, request: &Request) -> Response {
        match (request.method.as_str(), request.path.as_str()) {
            ("GET", "/health") => Response::json(200, &json!({ "status": "ok", "serial": self.serial })),
            ("POST", "/payments") => self.pay(request),
            ("GET", "/payments" | "/balance" | "/audit") => self.look_up(request),
            (_, "/payments" | "/balance" | "/audit" | "/health") => Response::error(405, "not with this method"),
            _ => Response::error(404, "there is nothing here"),
        }
    }

    fn pay(&self, request: &Request) -> Response {
        let order = match request.json() {
            Ok(value) => order(request, &value),
            Err(response) => return response,
        };
        let order = match order {
            Ok(order) => order,
            Err(problem) => return Response::error(400, &problem),
        };
        let booking = json!({
            "key": order.key,
            "from": order.from,
            "to": order.to,
            "amount": order.amount.to_string(),
            "currency": order.currency,
        });
        passed_on(self.ask("POST", "/payments", booking.to_string().as_bytes()))
    }

    fn look_up(&self, request: &Request) -> Response {
        passed_on(self.ask("GET", &format!("{}?{}", request.path, request.query), b""))
    }

    fn ask(&self, method: &str, target: &str, body: &[u8]) -> Outcome {
        let headers = [("Authorization", self.authorization.as_str()), ("Content-Type", "application/json")];
        self.ledger.ask(method, target, &headers, body)
    }
}

/// The key comes in the header `Idempotency-Key`.
fn order(request: &Request, value: &Value) -> Result<Order, String> {
    let text = |name| json_text(value, name).ok_or_else(|| format!("`{name}` is missing or not a text"));
    let key = request.header("idempotency-key").ok_or("the header `Idempotency-Key` is missing")?;
    Order::new(key, text("from")?, text("to")?, text("amount")?, text("currency")?)
}

fn passed_on(outcome: Outcome) -> Response {
    match outcome {
        Ok(answer) if answer.status == 401 => {
            eprintln!("the ledger does not know our token");
            Response::error(502, "the ledger refused")
        }
        Ok(answer) => {
            Response { status: answer.status, content_type: "application/json", headers: Vec::new(), body: answer.body }
        }
        Err(e) => {
            eprintln!("ledger: {e}");
            Response::error(502, "the ledger did not answer; asking again with the same key is safe")
        }
    }
}
