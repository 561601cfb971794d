//! Business identifier codes (ISO 9362:2022): four characters for the party, two letters for the country, two characters
//! more, and three for a branch or none.
//!
//! It has no check digit, and who holds a code stands in SWIFT's directory, which this room does not know.

use super::{Format, ValueError, form};

/// The countries of ISO 3166-1 (alpha-2), and `XK` for Kosovo, which SWIFT uses beside them.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS \
                         BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE \
                         EG EH ER ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM \
                         HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC \
                         LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA \
                         NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW \
                         SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO \
                         TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW";

pub(super) fn parse(text: &str) -> Result<(String, Vec<String>), ValueError> {
    let wrong = |why: &str| Err(form(Format::Bic, text, why));
    if text.len() != 8 && text.len() != 11 {
        return wrong("8 or 11 characters");
    }
    if !text.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()) {
        return wrong("capital letters and digits");
    }
    let (Some(country), Some(suffix)) = (text.get(4..6), text.get(6..8)) else { return wrong("8 or 11 characters") };
    if !COUNTRIES.split_whitespace().any(|known| known == country) {
        return wrong("its fifth and sixth characters are no country of ISO 3166");
    }
    let branch = text.get(8..).filter(|b| !b.is_empty() && *b != "XXX");
    let mut notes = vec![match branch {
        Some(branch) => format!("country {country}, branch {branch}"),
        None => format!("country {country}, the head office"),
    }];
    if suffix.ends_with('0') {
        notes.push("a code for tests: nothing reaches anybody under it".to_owned());
    }
    Ok((text.to_owned(), notes))
}
