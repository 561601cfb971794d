use super::*;

#[test]
fn a_database_needs_a_named_place_for_bodies() {
    let database = LogPlace::parse("postgres:///log?host=/run/postgresql&user=countersign").unwrap();
    let fault = database.fits(None).unwrap_err();
    assert_eq!(fault.message(), "the log is in a database, and nothing says where its bodies are");
    assert!(fault.hint_text().unwrap().contains("set \"blobs\""));
    database.fits(Some("/srv/bodies")).unwrap();
    LogPlace::parse("/srv/log.sqlite3").unwrap().fits(None).unwrap();
}

#[test]
fn what_may_be_a_password_is_not_printed() {
    let fault = LogPlace::parse("mysql://ada:secret@db.example.org/log").unwrap_err();
    assert_eq!(fault.message(), "a log can not be kept at `mysql://…@db.example.org/log`");
}
