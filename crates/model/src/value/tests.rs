//! Each format against the examples and test vectors of its standard, and against whoever changes one character.

use proptest::prelude::*;

use super::*;

fn read(format: Format, text: &str) -> Result<String, ValueError> {
    Value::parse(format, text).map(|value| value.as_str().to_owned())
}

/// Examples of the IBAN registry (SWIFT, release 99), one a line of different lengths and forms.
const IBANS: [&str; 16] = [
    "AD1200012030200359100100",
    "AE070331234567890123456",
    "AT611904300234573201",
    "BE68539007547034",
    "BR1800360305000010009795493C1",
    "CH9300762011623852957",
    "DE89370400440532013000",
    "ES9121000418450200051332",
    "FR1420041010050500013M02606",
    "GB29NWBK60161331926819",
    "IT60X0542811101000000123456",
    "LC55HEMM000100010012001200023015",
    "MT84MALT011000012345MTLCAST001S",
    "NL91ABNA0417164300",
    "NO9386011117947",
    "SE4550000000058398257466",
];

#[test]
fn ibans_of_the_registry_are_read_in_both_forms() {
    for iban in IBANS {
        let value = Value::parse(Format::Iban, iban).unwrap();
        assert_eq!(value.as_str(), iban);
        assert_eq!(read(Format::Iban, &value.shown()).unwrap(), iban, "the paper form");
        assert_eq!(read(Format::Iban, &iban.to_lowercase()).unwrap(), iban);
        assert!(value.notes()[0].contains("check digits"), "{:?}", value.notes());
    }
}

#[test]
fn no_iban_has_one_character_changed_or_two_neighbours_swapped() {
    for iban in IBANS {
        for at in 2..iban.len() {
            for other in ('0'..='9').filter(|c| !iban[at..].starts_with(*c)) {
                let mut changed: Vec<char> = iban.chars().collect();
                if changed[at].is_ascii_digit() {
                    changed[at] = other;
                    let changed: String = changed.into_iter().collect();
                    assert!(read(Format::Iban, &changed).is_err(), "{changed}");
                }
            }
            let mut swapped: Vec<char> = iban.chars().collect();
            if at + 1 < swapped.len() && swapped[at] != swapped[at + 1] {
                swapped.swap(at, at + 1);
                let swapped: String = swapped.into_iter().collect();
                assert!(read(Format::Iban, &swapped).is_err(), "{swapped}");
            }
        }
    }
}

/// BIP 173, "Examples" and BIP 350, "Test vectors for v0-v16 native segregated witness addresses".
const BITCOIN_GOOD: [(&str, &str); 10] = [
    ("1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa", "main network, pays to a key (P2PKH)"),
    ("3J98t1WpEZ73CNmQviecrnyiWrnqRhWNLy", "main network, pays to a script (P2SH)"),
    ("mipcBbFg9gMiCh81Kj8tqqdgoZub1ZJRfn", "TEST NETWORK"),
    ("2MzQwSSnBHWHqSAqtTVQ6v47XtaisrJa1Vc", "TEST NETWORK"),
    ("BC1QW508D6QEJXTDG4Y5R3ZARVARY0C5XW7KV8F3T4", "main network"),
    ("tb1qrp33g0q5c5txsp9arysrx4k6zdkfs4nce4xj0gdcccefvpysxf3q0sl5k7", "TEST NETWORK"),
    ("tb1qqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesrxh6hy", "TEST NETWORK"),
    ("tb1pqqqqp399et2xygdj5xreqhjjvcmzhxw4aywxecjdzew6hylgvsesf3hn0c", "TEST NETWORK"),
    ("bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqzk5jj0", "main network"),
    ("bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kv8f3t4", "main network"),
];

#[test]
fn bitcoin_addresses_of_the_standards_are_read() {
    for (address, note) in BITCOIN_GOOD {
        let value = Value::parse(Format::Bitcoin, address).unwrap_or_else(|e| panic!("{address}: {e}"));
        assert!(value.notes().iter().any(|n| n.contains(note)), "{address}: {:?}", value.notes());
        let is_bech32 = address.to_lowercase().starts_with("bc1") || address.to_lowercase().starts_with("tb1");
        assert_eq!(value.as_str(), if is_bech32 { address.to_lowercase() } else { address.to_owned() });
    }
}

#[test]
fn bitcoin_addresses_that_the_standards_refuse_are_refused() {
    // BIP 350: the right checksum of the wrong kind, mixed case, wrong lengths, padding; then versions without rules.
    for address in [
        "tc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq5zuyut",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqh2y7hd",
        "tb1z0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vqglt7rf",
        "BC1S0XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ54WELL",
        "bc1qw508d6qejxtdg4y5r3zarvary0c5xw7kemeawh",
        "tb1q0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq24jc47",
        "bc1p38j9r5y49hruaue7wxjce0updqjuyyx0kh56v8s25huc6995vvpql3jow4",
        "BC130XLXVLHEMJA6C4DQV22UAPCTQUPFHLXM9H8Z3K2E72Q4K9HCZ7VQ7ZWS8R",
        "bc1pw5dgrnzv",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v8n0nx0muaewav253zgeav",
        "BC1QR508D6QEJXTDG4Y5R3ZARVARYV98GJ9P",
        "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vq47Zagq",
        "bc1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7v07qwwzcrf",
        "tb1p0xlxvlhemja6c4dqv22uapctqupfhlxm9h8z3k2e72q4k9hcz7vpggkg4j",
        "bc1gmk9yu",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfN0",
        "1A1zP1eP5QGefi2DMPTfTL5SLmv7Divf",
        "LVg2kJoFNg45Nbpy53h7Fe1wKyeXVRhMH9",
    ] {
        assert!(read(Format::Bitcoin, address).is_err(), "{address}");
    }
    for address in ["BC1SW50QGDZ25J", "bc1zw508d6qejxtdg4y5r3zarvaryvaxxpcs"] {
        let why = read(Format::Bitcoin, address).unwrap_err().to_string();
        assert!(why.contains("anybody could spend"), "{why}");
    }
}

/// EIP-55, "Test Cases": all capitals and all small are such because of their hash.
const ETHEREUM_GOOD: [&str; 8] = [
    "0x52908400098527886E0F7030069857D2E4169EE7",
    "0x8617E340B3D01FA5F11F306F4090FD50E238070D",
    "0xde709f2102306220921060314715629080e2fb77",
    "0x27b1fdb04752bbc536007a920d24acb045561c26",
    "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
    "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
    "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    "0xD1220A0cf47c7B9Be7A2E6BA89F429762e7b9aDb",
];

#[test]
fn ethereum_addresses_carry_their_checksum() {
    for address in ETHEREUM_GOOD {
        assert_eq!(read(Format::Ethereum, address).unwrap(), address);
    }
    let good = ETHEREUM_GOOD[4];
    for (text, words) in [
        (good.to_lowercase(), "all its letters are of one case"),
        (good.replace("0x5a", "0x5A"), "its checksum is wrong"),
        (good.replace("BeAed", "BeAee"), "its checksum is wrong"),
        (good.replace("0x", ""), "does not begin with `0x`"),
        (good.replace("BeAed", "BeAe"), "40 digits"),
        (format!("0x{}", "0".repeat(40)), "the zero address"),
    ] {
        let why = read(Format::Ethereum, &text).unwrap_err().to_string();
        assert!(why.contains(words), "{text}: {why}");
    }
}

#[test]
fn bics_have_a_country_and_eight_or_eleven_characters() {
    for bic in ["DEUTDEFF", "DEUTDEFFXXX", "DEUTDEFF500", "NEDSZAJJ", "E097AEXXXXX"] {
        assert_eq!(read(Format::Bic, bic).unwrap(), bic);
    }
    for (bic, words) in [
        ("DEUTDEF", "8 or 11"),
        ("DEUTDEFF50", "8 or 11"),
        ("DEUTXXFF", "no country"),
        ("deutdeff", "capital letters"),
        ("DEUT-EFF", "capital letters"),
    ] {
        let why = read(Format::Bic, bic).unwrap_err().to_string();
        assert!(why.contains(words), "{bic}: {why}");
    }
    let test = Value::parse(Format::Bic, "DEUTDEF0").unwrap();
    assert!(test.notes().iter().any(|n| n.contains("for tests")));
}

#[test]
fn addresses_are_in_the_spelling_that_clients_resolve() {
    for good in ["https://example.net/", "https://example.net:8443/hook?a=b", "https://xn--mnchen-3ya.example/"] {
        assert_eq!(read(Format::Url, good).unwrap(), good);
    }
    for (text, words) in [
        ("http://example.net/", "does not begin with `https://`"),
        ("https://example.net", "write it as `https://example.net/`"),
        ("https://EXAMPLE.net/", "write it as `https://example.net/`"),
        ("https://example.net/a/../b", "write it as `https://example.net/b`"),
        ("https://example.net:443/", "write it as `https://example.net/`"),
        ("https://bank.example@evil.example/", "it names a user"),
        ("https://bank.example\\@evil.example/", "write it in ASCII"),
        ("https://bank.example/#x", "behind `#`"),
        ("https://bаnk.example/", "write it in ASCII"),
        ("https://0x7f.1/", "write it as `https://127.0.0.1/`"),
        ("javascript:alert(1)", "does not begin"),
        ("https://", "empty host"),
    ] {
        let why = read(Format::Url, text).unwrap_err().to_string();
        assert!(why.contains(words), "{text}: {why}");
    }
    let notes = |text| Value::parse(Format::Url, text).unwrap().notes().join("; ");
    assert!(notes("https://xn--mnchen-3ya.example/").contains("another script"));
    assert!(notes("https://127.0.0.1/").contains("bare address"));
}

#[test]
fn numbers_and_lines_have_one_spelling() {
    for good in ["0", "-1", "1000000.00", "0.5"] {
        assert_eq!(read(Format::Decimal, good).unwrap(), good);
    }
    for bad in ["1,000", "01", "1.", ".5", "+1", "1e9", "--1", "", " 1", "٣", &"1".repeat(41)] {
        assert!(read(Format::Decimal, bad).is_err(), "{bad}");
    }
    assert!(Value::parse(Format::Decimal, "1000000").unwrap().notes()[0].contains("1 000 000"));
    for bad in ["a\nb", "a\u{202e}b", "a\u{200b}b", "a\u{a0}b", " a", "a ", "a  b", "a\0b", "a\tb", "a\u{ad}b"] {
        assert!(read(Format::Text, bad).is_err(), "{bad:?}");
    }
    assert_eq!(read(Format::Text, "Müller & Co").unwrap(), "Müller & Co");
    assert!(Value::parse(Format::Text, "pаypal").unwrap().notes()[0].contains("beyond ASCII"));
    assert!(Value::parse(Format::Text, "pаypal").unwrap().notes()[0].ends_with("others: а (U+0430)"));
    for unseen in ['\u{3164}', '\u{115F}', '\u{1160}', '\u{FFA0}', '\u{5D0}', '\u{627}', '\u{10A00}', '\u{1E900}'] {
        assert!(Value::parse(Format::Text, &format!("pay{unseen}pal")).is_err(), "U+{:04X}", u32::from(unseen));
    }
    assert_eq!(read(Format::Text, &"x".repeat(1_025)), Err(ValueError::TooLong(1_025)));
}

#[test]
fn what_is_kept_is_in_its_one_spelling() {
    let paper = "DE89 3704 0044 0532 0130 00";
    assert!(Value::parse(Format::Iban, paper).is_ok());
    assert!(matches!(Value::parse_kept(Format::Iban, paper), Err(ValueError::Spelling(_))));
    for format in
        [Format::Text, Format::Decimal, Format::Url, Format::Iban, Format::Bic, Format::Bitcoin, Format::Ethereum]
    {
        assert_eq!(Value::parse_kept(format, format.example()).unwrap().as_str(), format.example());
    }
}

fn alike(format: Format, old: &str, new: &str) -> Likeness {
    Likeness::of(&Value::parse(format, old).unwrap(), &Value::parse(format, new).unwrap())
}

#[test]
fn look_alikes_are_named_and_marked() {
    // One digit and the check digits that go with it.
    let one = alike(Format::Iban, "DE89370400440532013000", "DE16370400440532018000");
    assert_eq!(one.alike, [Alike::Few { differing: 3, of: 22 }]);
    assert_eq!(one.marks.trim_end(), "  ^^              ^");
    // Two neighbours swapped, with the check digits made right again.
    let swapped = alike(Format::Iban, "DE89370400440532013000", "DE45370400440532010300");
    assert!(swapped.alike.contains(&Alike::Swapped), "{swapped:?}");
    // Another account altogether.
    assert_eq!(alike(Format::Iban, "DE89370400440532013000", "GB29NWBK60161331926819").alike, []);
    // Address poisoning: the ends that a wallet shows are alike.
    let poisoned = alike(
        Format::Ethereum,
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        &checksummed("5aaeb60500000000000000000000000000000001beaed"),
    );
    assert_eq!(poisoned.alike, [Alike::Ends]);
    assert_eq!(alike(Format::Decimal, "1000.50", "10005.0").alike, [Alike::Swapped, Alike::Moved(1)]);
    assert_eq!(alike(Format::Decimal, "1000", "1000000").alike, [Alike::Moved(3)]);
    assert_eq!(alike(Format::Decimal, "1000", "0.1").alike, [Alike::Moved(-4)]);
    assert_eq!(alike(Format::Text, "PAYDESK ONE", "PAYDESK 0NE").alike.last(), Some(&Alike::Confusable));
    assert!(alike(Format::Text, "modern bank", "modem bank").alike.contains(&Alike::Confusable));
    assert!(alike(Format::Text, "paypal bank", "pаypal bank").alike.contains(&Alike::Confusable), "a Cyrillic letter");
    assert!(alike(Format::Text, "Pay Desk", "Pay desk").alike.contains(&Alike::Case));
    assert!(alike(Format::Url, "https://bank.example/", "https://bnak.example/").alike.contains(&Alike::Swapped));
    assert_eq!(alike(Format::Bic, "DEUTDEFF", "DEUTDEFF").alike, [Alike::Same]);
    let longer = alike(Format::Url, "https://bank.example/", "https://bank.example.org/");
    assert!(longer.alike.contains(&Alike::Few { differing: 4, of: 25 }), "{longer:?}");
    for words in one.alike.iter().chain(&swapped.alike).map(ToString::to_string) {
        assert!(words.starts_with(char::is_lowercase) && !words.ends_with('.'), "{words}");
    }
}

/// An address with these digits, cut to 40, and its checksum.
fn checksummed(digits: &str) -> String {
    let (start, end) = digits.split_at(digits.len() - 20);
    let lower = format!("{}{end}", &start[..20]);
    use sha3::{Digest as _, Keccak256};
    let hash = hex::encode(Keccak256::digest(lower.as_bytes()));
    let raised = lower.chars().zip(hash.bytes()).map(|(c, h)| if h >= b'8' { c.to_ascii_uppercase() } else { c });
    format!("0x{}", raised.collect::<String>())
}

proptest! {
    #[test]
    fn whatever_is_read_is_read_again_as_it_is_kept(text in "\\PC{0,60}") {
        for format in [Format::Text, Format::Decimal, Format::Url, Format::Iban, Format::Bic, Format::Bitcoin, Format::Ethereum] {
            if let Ok(value) = Value::parse(format, &text) {
                prop_assert_eq!(Value::parse_kept(format, value.as_str()).unwrap(), value);
            }
        }
    }

    #[test]
    fn comparing_ends_for_whatever_is_compared(old in "[ -~]{1,30}", new in "[ -~а-я]{1,30}") {
        if let (Ok(old), Ok(new)) = (Value::parse(Format::Text, &old), Value::parse(Format::Text, &new)) {
            let likeness = Likeness::of(&old, &new);
            prop_assert_eq!(likeness.marks.chars().count(), new.as_str().chars().count());
            prop_assert_eq!(likeness.alike == [Alike::Same], old == new);
        }
    }
}
