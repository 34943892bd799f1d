//! Text that goes to a terminal: names of mounts, tags and lines of files may hold what a terminal takes for commands,
//! and what a reader takes for lines of ours. Everything passes through here on its way out, and only line ends that
//! the command itself writes stay what they are.

use std::borrow::Cow;

/// A text within one line: control characters are shown, line ends too.
pub fn within_line(text: &str) -> Cow<'_, str> {
    shown(text, |c| c == '\t')
}

/// Lines of an answer, whatever bytes they hold: control characters are shown, line ends and tabs stay.
pub fn lines(text: Vec<u8>) -> String {
    // Thousands of lines are nearly always such as these.
    if text.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\n' | b'\t')) {
        return String::from_utf8(text).unwrap_or_default();
    }
    let mut out = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        out.push_str(&shown(chunk.valid(), |c| c == '\n' || c == '\t'));
        chunk.invalid().iter().for_each(|byte| out.push_str(&format!("\\x{byte:02x}")));
    }
    out
}

/// A JSON document: what JSON itself lets stand in its texts and a terminal does not is written as `\u` and four
/// digits. Outside of strings there are no such characters.
pub fn json(document: &str) -> Cow<'_, str> {
    if !document.chars().any(|c| is_unsafe(c) && c != '\n') {
        return Cow::Borrowed(document);
    }
    let mut out = String::with_capacity(document.len());
    for c in document.chars() {
        if is_unsafe(c) && c != '\n' {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

fn shown(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let hidden = |c: char| is_unsafe(c) && !stays(c);
    if !text.chars().any(hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if hidden(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

/// Control characters (C0, DEL, C1), and what changes the order in which a line is shown or ends it.
/// Source: Unicode 16, categories Cc, Zl, Zp, and the bidirectional formatting characters of UAX #9.
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_commands_a_terminal_gets_through() {
        let evil = "a\u{1b}]0;t\u{7}\u{9b}2J\r\nhint: rm\u{202e}\u{7f}";
        assert_eq!(within_line(evil), "a\\u{1b}]0;t\\u{7}\\u{9b}2J\\r\\nhint: rm\\u{202e}\\u{7f}");
        assert_eq!(lines(b"a\n\tb\xff\x1b[1m\n".to_vec()), "a\n\tb\\xff\\u{1b}[1m\n");
        assert_eq!(lines(b"a\n\t~ \n".to_vec()), "a\n\t~ \n");
        for c in (0..=0x2069).filter_map(char::from_u32).filter(|c| is_unsafe(*c)) {
            let text = String::from(c);
            let said = within_line(&text);
            assert!(c == '\t' || said.chars().all(|c| !is_unsafe(c)), "{c:?}");
        }
        assert_eq!(within_line("größer → ✓"), "größer → ✓");
    }

    #[test]
    fn json_stays_the_same_document() {
        let value = serde_json::json!({"a": ["x\u{9b}y\u{7f}\u{202e}\u{1b}", "z"], "ü": null});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let safe = json(&text);
        assert!(safe.chars().all(|c| c == '\n' || !is_unsafe(c)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }
}
