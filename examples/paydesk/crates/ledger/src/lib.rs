//! The ledger: accounts and entries in one SQLite database, double entry, each payment booked exactly once.
//! It answers only who knows the token. A crash at any point leaves a payment booked whole or not at all.

mod books;
mod schema;

use std::{
    error::Error,
    path::PathBuf,
    sync::{Mutex, PoisonError},
};

use paydesk_http::{Request, Response, Settings, json_text, serve};
use paydesk_money::{Order, is_account, is_key};
use serde_json::json;

pub use books::{BookError, Booked, Books, Range};

/// SQLite has one writer; more threads would only wait.
const THREADS: usize = 8;

/// Opens `PAYDESK_LEDGER_FILE` (`/data/ledger.sqlite` if not set), brings its schema up to date and serves.
pub fn run() -> Result<(), Box<dyn Error>> {
    let settings = Settings::from_environment()?;
    let token = Settings::secret("PAYDESK_TOKEN_FILE")?;
    let file =
        std::env::var_os("PAYDESK_LEDGER_FILE").map_or_else(|| PathBuf::from("/data/ledger.sqlite"), PathBuf::from);
    let ledger = Ledger {
        books: Mutex::new(Books::open(&file)?),
        authorization: format!("Bearer {token}"),
        serial: settings.serial.clone(),
        settlement: Settings::value("settlement-account")?,
    };
    serve(&settings, THREADS, move |request| ledger.answer(request))?;
    Ok(())
}

struct Ledger {
    books: Mutex<Books>,
    authorization: String,
    serial: String,
    /// The account that the desk settles to.
    settlement: String,
}

impl Ledger {
    fn answer(&self, request: &Request) -> Response {
        let route = (request.method.as_str(), request.path.as_str());
        if route == ("GET", "/health") {
            return self.health();
        }
        if !request.header("authorization").is_some_and(|given| same(given, &self.authorization)) {
            return Response::error(401, "the token is missing or wrong");
        }
        match route {
            ("POST", "/payments") => self.book(request),
            ("GET", "/payments") => self.list(request),
            ("GET", "/balance") => self.balance(request),
            ("GET", "/settlement") => Response::json(200, &json!({ "account": self.settlement })),
            ("GET", "/audit") => or_failed(self.books(|b| b.audit()).map(|a| Response::json(200, &a))),
            (_, "/payments" | "/balance" | "/audit" | "/health" | "/settlement") => {
                Response::error(405, "not with this method")
            }
            _ => Response::error(404, "there is nothing here"),
        }
    }

    /// Well only if the database can be written.
    fn health(&self) -> Response {
        match self.books(|b| b.check()) {
            Ok(migrations) => {
                Response::json(200, &json!({ "status": "ok", "serial": self.serial, "migrations": migrations }))
            }
            Err(e) => Response::error(503, &format!("the database does not work: {e}")),
        }
    }

    fn book(&self, request: &Request) -> Response {
        let order = match request.json() {
            Ok(value) => {
                let text = |name| json_text(&value, name).unwrap_or_default();
                Order::new(text("key"), text("from"), text("to"), text("amount"), text("currency"))
            }
            Err(response) => return response,
        };
        let order = match order {
            Ok(order) => order,
            Err(problem) => return Response::error(400, &problem),
        };
        match self.books(|b| b.book(&order)) {
            Ok(Booked { payment, is_new }) => Response::json(if is_new { 201 } else { 200 }, &payment),
            Err(BookError::OtherOrder) => Response::error(409, "this idempotency key was used for another payment"),
            Err(BookError::Overdrawn) => Response::error(422, &format!("`{}` has not enough money", order.from)),
            Err(BookError::Database(e)) => failed(&e),
        }
    }

    fn list(&self, request: &Request) -> Response {
        let number = |name: &str, otherwise: i64| match request.parameter(name) {
            Some(text) => text.parse().ok().filter(|n| *n >= 0),
            None => Some(otherwise),
        };
        let Some(limit) = number("limit", 50) else {
            return Response::error(400, "`limit` is not a number");
        };
        let range = match (request.parameter("key"), request.parameter("after")) {
            (Some(key), _) if is_key(&key) => Range::Key(key),
            (Some(_), _) => return Response::error(400, "`key` is not an idempotency key"),
            (None, None) => Range::Latest,
            (None, Some(_)) => match number("after", 0) {
                Some(id) => Range::After(id),
                None => return Response::error(400, "`after` is not a number"),
            },
        };
        or_failed(self.books(|b| b.list(&range, limit)).map(|l| Response::json(200, &json!({ "payments": l }))))
    }

    fn balance(&self, request: &Request) -> Response {
        match request.parameter("account") {
            Some(account) if is_account(&account) => or_failed(
                self.books(|b| b.balance(&account))
                    .map(|balances| Response::json(200, &json!({ "account": account, "balances": balances }))),
            ),
            _ => Response::error(400, "`account` is not an account"),
        }
    }

    fn books<T>(&self, work: impl FnOnce(&mut Books) -> T) -> T {
        // A transaction that a panic ended has been rolled back, so the books are good.
        work(&mut self.books.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn or_failed(result: Result<Response, rusqlite::Error>) -> Response {
    result.unwrap_or_else(|e| failed(&e))
}

fn failed(error: &rusqlite::Error) -> Response {
    eprintln!("database: {error}");
    Response::error(500, "the ledger's database failed")
}

/// Takes as long for every text of one length, so that time does not tell the token.
fn same(given: &str, expected: &str) -> bool {
    given.len() == expected.len() && given.bytes().zip(expected.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
