use proptest::prelude::*;

use super::*;

fn kib(text: &str) -> u64 {
    parse_size(text, Unit::Kibi).unwrap().get()
}

#[test]
fn units_are_powers_of_two_whatever_their_case() {
    assert_eq!(kib("4"), 4096);
    assert_eq!(kib("0"), 0);
    assert_eq!(kib("100b"), 100);
    assert_eq!(kib("3s"), 1536);
    for text in ["8g", "8G", "8GiB", "8gib", "8GIB", "8.0G", "8192M", "0008G"] {
        assert_eq!(kib(text), 8 << 30, "{text}");
    }
    assert_eq!(kib("2T"), 2 << 40);
    assert_eq!(kib("2p"), 2 << 50);
    assert_eq!(kib("15E"), 15 << 60);
    assert_eq!(parse_size("7", Unit::Byte).unwrap().get(), 7);
    assert_eq!(parse_size("7", Unit::Mebi).unwrap().get(), 7 << 20);
}

#[test]
fn fractions_are_exact_or_refused() {
    assert_eq!(kib("1.5G"), 3 << 29);
    assert_eq!(kib("0.25k"), 256);
    assert_eq!(kib("0.5E"), 1 << 59);
    let error = parse_size("0.1G", Unit::Kibi).unwrap_err();
    assert_eq!(error.to_string(), "'0.1G' is not a size: it is not a whole number of bytes");
    assert_eq!(error.hint, "the next larger size is 107374183b");
    assert!(parse_size("0.5b", Unit::Kibi).is_err());
    assert!(parse_size("1.0000000000000000001G", Unit::Kibi).is_err());
    assert_eq!(kib("1.0000000000000000000G"), 1 << 30);
}

#[test]
fn what_is_no_size_is_refused_with_a_hint() {
    for (text, why) in [
        ("", "it does not start with a number"),
        ("-1", "it does not start with a number"),
        ("+1G", "it does not start with a number"),
        (".5G", "it does not start with a number"),
        ("1.", "it does not start with a number"),
        ("1.2.3", "it does not start with a number"),
        ("G", "it does not start with a number"),
        ("1 G", "' G' is not a unit"),
        ("1X", "'X' is not a unit"),
        ("1biB", "'biB' is not a unit"),
        ("1iB", "'iB' is not a unit"),
        ("1GB", "'GB' means powers of 1000 to some and of 1024 to others"),
        ("1µ", "'\\u{b5}' is not a unit"),
        ("16E", "it is 2^64 bytes or more"),
        ("99999999999999999999999999999999999999", "it is 2^64 bytes or more"),
        ("1000000000000000000000000000000000000000000", "it is longer than 40 characters"),
    ] {
        let error = parse_size(text, Unit::Kibi).unwrap_err();
        assert_eq!(error.why, why, "{text}");
        assert!(!error.hint.is_empty(), "{text}");
    }
    assert_eq!(parse_size("1gb", Unit::Kibi).unwrap_err().hint, "write 'G' or 'GiB' for powers of 1024");
}

#[test]
fn sizes_are_shown_short_and_never_too_large() {
    let shown = |bytes: u64| Rounded(Bytes::new(bytes)).to_string();
    assert_eq!(shown(0), "0 B");
    assert_eq!(shown(1023), "1023 B");
    assert_eq!(shown(1024), "1 KiB");
    assert_eq!(shown(3 << 29), "1.50 GiB");
    assert_eq!(shown((1 << 30) - 1), "1023.99 MiB");
    assert_eq!(shown(u64::MAX), "15.99 EiB");
    assert_eq!(format!("{:>8}|", Rounded(Bytes::new(1 << 20))), "   1 MiB|");
}

proptest! {
    #[test]
    fn any_text_is_a_size_or_an_error(text in "\\PC{0,50}") {
        let _ = parse_size(&text, Unit::Kibi);
    }

    #[test]
    fn every_byte_count_is_read_back(bytes: u64) {
        prop_assert_eq!(parse_size(&format!("{bytes}b"), Unit::Kibi).unwrap().get(), bytes);
    }

    #[test]
    fn hundredths_mean_what_they_say(whole in 0u64..1000, hundredths in 0u64..100) {
        let text = format!("{whole}.{hundredths:02}T");
        let exact = u128::from(whole * 100 + hundredths) << 40;
        match parse_size(&text, Unit::Kibi) {
            Ok(bytes) => prop_assert_eq!(u128::from(bytes.get()) * 100, exact),
            Err(_) => prop_assert!(exact % 100 != 0),
        }
    }
}
