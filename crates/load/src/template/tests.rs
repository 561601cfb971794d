use super::*;

fn filled(text: &str) -> String {
    let columns = ["symbol".to_owned(), "amount".to_owned()];
    let row = ["EURUSD".to_owned(), "12".to_owned()];
    let mut to = Vec::new();
    Template::parse(text, &columns).unwrap().fill(&Values { row: &row, number: 42, random: 0xabc }, &mut to);
    String::from_utf8(to).unwrap()
}

#[test]
fn places_are_filled() {
    assert_eq!(filled("/quote/{{symbol}}?n={{ number }}&a={{amount}}"), "/quote/EURUSD?n=42&a=12");
    assert_eq!(filled("{{random}}"), "0000000000000abc");
    assert_eq!(filled("{\"a\": {\"b\": 1}}"), "{\"a\": {\"b\": 1}}");
    assert_eq!(filled(""), "");
}

#[test]
fn a_name_without_a_value_is_refused_and_the_others_are_named() {
    let error = Template::parse("/{{symbl}}", &["symbol".to_owned()]).unwrap_err();
    assert_eq!(error.to_string(), "`symbl` is no value; there are `symbol`, `number`, `random`");
    assert!(Template::parse("/{{symbol", &[]).is_err());
}

#[test]
fn a_column_goes_before_a_built_in_of_its_name() {
    let mut to = Vec::new();
    let template = Template::parse("{{number}}", &["number".to_owned()]).unwrap();
    template.fill(&Values { row: &["own".to_owned()], number: 1, random: 1 }, &mut to);
    assert_eq!(to, b"own");
    assert!(!template.is_fixed());
    assert!(Template::fixed("a").is_fixed());
}
