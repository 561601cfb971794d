use super::{Source, find, line_of};

fn code(text: &str) -> String {
    Source::parse(text).tokens().iter().map(|token| token.text).collect::<Vec<_>>().join(" ")
}

#[test]
fn views_are_as_long_as_the_file() {
    let text = "fn é() { /* ü */ \"ö\"; 'ä' } // ß\n";
    let source = Source::parse(text);
    assert_eq!((source.code.len(), source.comments.len()), (text.len(), text.len()));
    assert_eq!(source.comments().trim(), "/* ü */              // ß".trim());
}

#[test]
fn strings_and_comments_are_not_code() {
    let rows = [
        ("let a = \"todo!()\";", "let a = \" \" ;"),
        (r#"let a = "\"todo!()";"#, "let a = \" \" ;"),
        ("let a = r#\"todo!(\"\")\"#;", "let a = \" \" ;"),
        ("let a = br\"\\\"; b", "let a = \" \" ; b"),
        ("let a = c\"x\"; b", "let a = \" \" ; b"),
        ("return\"x\"; b", "return \" \" ; b"),
        ("// todo!()\nb", "b"),
        ("/* a /* todo!() */ b */ c", "c"),
        ("/*/ a */ c", "c"),
        ("let c = '\"'; d", "let c = \" \" ; d"),
        (r"let c = '\''; d", "let c = \" \" ; d"),
        (r"let c = '\u{1F600}'; d", "let c = \" \" ; d"),
        ("let c = b'x'; let barb = 1;", "let c = \" \" ; let barb = 1 ;"),
        ("fn f<'a>(b: &'a str) {}", "fn f < ' a > ( b : & ' a str ) { }"),
        ("\"never closed", "\" \""),
        ("/* never closed", ""),
    ];
    for (text, expected) in rows {
        assert_eq!(code(text), expected, "{text}");
    }
}

#[test]
fn places_have_lines() {
    let source = Source::parse("//! a\n\nmod b;\n");
    let tokens = source.tokens();
    let found: Vec<_> = find(&tokens, &["mod", "b"]).map(|rest| source.line(rest[0].at)).collect();
    assert_eq!(found, [3]);
    assert_eq!((line_of("a\nb", 0), line_of("a\nb", 2), line_of("a\nb", 99)), (1, 2, 2));
}
