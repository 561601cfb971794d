//! The schema, as a list of migrations that is only ever added to. Each runs once, in one transaction, and only
//! adds, so that the version before still works afterwards; hence unknown ones of a newer version are left alone.

use rusqlite::{Connection, Result, params};

const MIGRATIONS: &[(&str, &str)] = &[("0001-books", BOOKS)];

const BOOKS: &str = "
    CREATE TABLE accounts (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        may_be_overdrawn INTEGER NOT NULL DEFAULT 0
    );
    INSERT INTO accounts (name, may_be_overdrawn) VALUES ('bank', 1);
    CREATE TABLE payments (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        key TEXT NOT NULL UNIQUE,
        debtor INTEGER NOT NULL REFERENCES accounts (id),
        creditor INTEGER NOT NULL REFERENCES accounts (id),
        cents INTEGER NOT NULL CHECK (cents > 0),
        currency TEXT NOT NULL,
        booked_at INTEGER NOT NULL DEFAULT (unixepoch())
    );
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        payment INTEGER NOT NULL REFERENCES payments (id),
        account INTEGER NOT NULL REFERENCES accounts (id),
        cents INTEGER NOT NULL,
        currency TEXT NOT NULL
    );
    CREATE INDEX entries_by_account ON entries (account, currency, cents);
    CREATE INDEX entries_by_payment ON entries (payment);
";

/// Runs what has not run yet.
pub fn migrate(database: &mut Connection) -> Result<()> {
    database.execute_batch(
        "CREATE TABLE IF NOT EXISTS migrations (
            id TEXT PRIMARY KEY,
            applied_at INTEGER NOT NULL DEFAULT (unixepoch())
        ) WITHOUT ROWID",
    )?;
    for (id, sql) in MIGRATIONS {
        let transaction = database.transaction()?;
        if transaction.execute("INSERT INTO migrations (id) VALUES (?) ON CONFLICT (id) DO NOTHING", params![id])? == 1
        {
            transaction.execute_batch(sql)?;
            println!("migrated {id}");
        }
        transaction.commit()?;
    }
    Ok(())
}

/// The ids of all that have run, in order.
pub fn applied(database: &Connection) -> Result<Vec<String>> {
    database.prepare("SELECT id FROM migrations ORDER BY id")?.query_map([], |row| row.get(0))?.collect()
}
