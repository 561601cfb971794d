//! The books. `sum of all entries = 0` holds after every transaction: `book` is the only writer, and writes both
//! sides of a payment or nothing.

use std::{fmt, path::Path};

use paydesk_money::{Amount, Order, decimal};
use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, TransactionBehavior, params};
use serde_json::{Map, Value, json};

use crate::schema;

/// Pages of the list are at most this long.
const LIST_MAX: i64 = 1000;

/// An open ledger.
pub struct Books {
    database: Connection,
}

/// A payment that is in the books.
pub struct Booked {
    /// As it is shown.
    pub payment: Value,
    /// Whether this call booked it.
    pub is_new: bool,
}

/// Why an order was not booked.
#[derive(Debug)]
pub enum BookError {
    /// The key is that of a payment of something else.
    OtherOrder,
    /// Only the bank may owe.
    Overdrawn,
    /// Nothing was written.
    Database(rusqlite::Error),
}

impl fmt::Display for BookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::OtherOrder => "the key was used for another payment",
            Self::Overdrawn => "not enough money",
            Self::Database(_) => "the database failed",
        })
    }
}

impl From<rusqlite::Error> for BookError {
    fn from(error: rusqlite::Error) -> Self {
        Self::Database(error)
    }
}

/// Which payments to list.
pub enum Range {
    /// The latest, newest first.
    Latest,
    /// Those with a greater id, oldest first.
    After(i64),
    /// The one with this key.
    Key(String),
}

impl Books {
    /// Opens or makes the database and brings its schema up to date.
    pub fn open(file: &Path) -> Result<Self> {
        let mut database = Connection::open(file)?;
        database.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 2000;")?;
        schema::migrate(&mut database)?;
        Ok(Self { database })
    }

    /// Takes the write lock and lets go of it; says which migrations have run.
    pub fn check(&mut self) -> Result<Vec<String>> {
        self.database.transaction_with_behavior(TransactionBehavior::Immediate)?.rollback()?;
        schema::applied(&self.database)
    }

    /// Books an order, or finds what its key has booked.
    pub fn book(&mut self, order: &Order) -> Result<Booked, BookError> {
        let transaction = self.database.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if let Some((payment, before)) = find(&transaction, &order.key)? {
            return if before == *order { Ok(Booked { payment, is_new: false }) } else { Err(BookError::OtherOrder) };
        }
        let (debtor, creditor) = (account(&transaction, &order.from)?, account(&transaction, &order.to)?);
        let (cents, currency) = (order.amount.cents(), &order.currency);
        let may_pay: bool = transaction
            .prepare(
                "SELECT may_be_overdrawn OR ?3 <= (SELECT coalesce(sum(cents), 0) FROM entries WHERE account = ?1 AND currency = ?2)
                 FROM accounts WHERE id = ?1",
            )?
            .query_row(params![debtor, currency, cents], |row| row.get(0))?;
        if !may_pay {
            return Err(BookError::Overdrawn);
        }
        transaction
            .prepare("INSERT INTO payments (key, debtor, creditor, cents, currency) VALUES (?, ?, ?, ?, ?)")?
            .execute(params![order.key, debtor, creditor, cents, currency])?;
        let payment = transaction.last_insert_rowid();
        for (account, cents) in [(debtor, -cents), (creditor, cents)] {
            transaction
                .prepare("INSERT INTO entries (payment, account, cents, currency) VALUES (?, ?, ?, ?)")?
                .execute(params![payment, account, cents, currency])?;
        }
        let (payment, _) = find(&transaction, &order.key)?.ok_or(rusqlite::Error::QueryReturnedNoRows)?;
        transaction.commit()?;
        Ok(Booked { payment, is_new: true })
    }

    /// At most `limit` payments.
    pub fn list(&self, range: &Range, limit: i64) -> Result<Vec<Value>> {
        let limit = limit.min(LIST_MAX);
        let shown = |row: &Row<'_>| read(row).map(|(payment, _)| payment);
        let database = &self.database;
        match range {
            Range::Latest => database
                .prepare(&format!("{SELECT} ORDER BY p.id DESC LIMIT ?"))?
                .query_map(params![limit], shown)?
                .collect(),
            Range::After(id) => database
                .prepare(&format!("{SELECT} WHERE p.id > ? ORDER BY p.id LIMIT ?"))?
                .query_map(params![id, limit], shown)?
                .collect(),
            Range::Key(key) => database
                .prepare(&format!("{SELECT} WHERE p.key = ? LIMIT ?"))?
                .query_map(params![key, limit], shown)?
                .collect(),
        }
    }

    /// What an account has, by currency; nothing for one that was never paid.
    pub fn balance(&self, account: &str) -> Result<Map<String, Value>> {
        self.database
            .prepare(
                "SELECT e.currency, sum(e.cents) FROM entries e JOIN accounts a ON a.id = e.account
                 WHERE a.name = ? GROUP BY e.currency ORDER BY e.currency",
            )?
            .query_map(params![account], |row| Ok((row.get(0)?, Value::from(decimal(row.get(1)?)))))?
            .collect()
    }

    /// What must hold, counted afresh: the sum is 0, and no payment is booked twice or by halves.
    pub fn audit(&self) -> Result<Value> {
        let count = |sql: &str| self.database.query_row(sql, [], |row| row.get::<_, i64>(0));
        Ok(json!({
            "payments": count("SELECT count(*) FROM payments")?,
            "entries": count("SELECT count(*) FROM entries")?,
            "sum": count("SELECT coalesce(sum(cents), 0) FROM entries")?,
            "duplicates": count("SELECT count(*) FROM (SELECT key FROM payments GROUP BY key HAVING count(*) > 1)")?,
            "unbalanced": count(
                "SELECT count(*) FROM payments p WHERE (SELECT count(*) FROM entries WHERE payment = p.id) <> 2
                 OR (SELECT sum(cents) FROM entries WHERE payment = p.id) <> 0",
            )?,
            "overdrawn": count(
                "SELECT count(*) FROM (SELECT 1 FROM entries e JOIN accounts a ON a.id = e.account
                 WHERE NOT a.may_be_overdrawn GROUP BY a.id, e.currency HAVING sum(e.cents) < 0)",
            )?,
        }))
    }
}

const SELECT: &str = "SELECT p.id, p.key, d.name, c.name, p.cents, p.currency, p.booked_at
    FROM payments p JOIN accounts d ON d.id = p.debtor JOIN accounts c ON c.id = p.creditor";

fn read(row: &Row<'_>) -> Result<(Value, Order)> {
    let cents = row.get(4)?;
    let order = Order {
        key: row.get(1)?,
        from: row.get(2)?,
        to: row.get(3)?,
        amount: Amount::from_cents(cents).ok_or(rusqlite::Error::IntegralValueOutOfRange(4, cents))?,
        currency: row.get(5)?,
    };
    let payment = json!({
        "id": row.get::<_, i64>(0)?,
        "key": order.key,
        "from": order.from,
        "to": order.to,
        "amount": order.amount.to_string(),
        "currency": order.currency,
        "booked_at": row.get::<_, i64>(6)?,
    });
    Ok((payment, order))
}

fn find(transaction: &Transaction<'_>, key: &str) -> Result<Option<(Value, Order)>> {
    transaction.prepare(&format!("{SELECT} WHERE p.key = ?"))?.query_row(params![key], read).optional()
}

/// The account of this name, opened if there is none.
fn account(transaction: &Transaction<'_>, name: &str) -> Result<i64> {
    transaction
        .prepare("INSERT INTO accounts (name) VALUES (?) ON CONFLICT (name) DO NOTHING")?
        .execute(params![name])?;
    transaction.prepare("SELECT id FROM accounts WHERE name = ?")?.query_row(params![name], |row| row.get(0))
}
