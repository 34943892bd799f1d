//! Just enough of Rust's syntax: comments and literals blanked out, so that what is left can be searched as
//! text.

/// The text with comments, strings and characters replaced by spaces; lines stay where they are.
pub fn blank(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let end = literal_end(&chars, at);
        if end > at {
            out.extend(chars[at..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else {
            out.push(chars[at]);
            at += 1;
        }
    }
    out
}

/// Where the comment or literal that starts at `at` ends; `at` itself if none starts there.
fn literal_end(chars: &[char], at: usize) -> usize {
    let rest = &chars[at..];
    match rest {
        ['/', '/', ..] => at + rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
        ['/', '*', ..] => at + comment_length(rest),
        ['"', ..] => at + string_length(rest),
        ['r', '"' | '#', ..] if !is_word(chars, at) => at + raw_string_length(rest),
        ['\'', '\\', ..] => at + 3 + rest.iter().skip(3).position(|&c| c == '\'').map_or(0, |more| more + 1),
        ['\'', _, '\'', ..] => at + 3,
        _ => at,
    }
}

/// Whether the character before `at` makes `chars[at]` the middle of a name (a byte string's `b` does not).
fn is_word(chars: &[char], at: usize) -> bool {
    at.checked_sub(1).is_some_and(|before| {
        let c = chars[before];
        (c.is_alphanumeric() || c == '_') && c != 'b'
    })
}

fn comment_length(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        match &rest[at..] {
            ['/', '*', ..] => {
                depth += 1;
                at += 2;
            }
            ['*', '/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    rest.len()
}

fn string_length(rest: &[char]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            '\\' => at += 2,
            '"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// Length of `r"…"` or `r#"…"#`; 0 for a raw identifier.
fn raw_string_length(rest: &[char]) -> usize {
    let hashes = rest.iter().skip(1).take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let closes =
        |at: usize| rest[at] == '"' && rest[at + 1..].iter().take_while(|&&c| c == '#').count() >= hashes;
    (2 + hashes..rest.len()).find(|&at| closes(at)).map_or(rest.len(), |at| at + 1 + hashes)
}

/// Blanked code up to `#[cfg(test)]` followed by a module with a body, which by custom ends a file.
pub fn without_test_module(code: &str) -> String {
    let mut from = 0;
    while let Some(found) = code[from..].find("#[cfg(test)]") {
        let at = from + found;
        let after = code[at + "#[cfg(test)]".len()..].trim_start();
        let line = after.lines().next().unwrap_or_default();
        if line.starts_with("mod ") && line.ends_with('{') {
            return code[..at].to_owned();
        }
        from = at + 1;
    }
    code.to_owned()
}

/// Lines that each function takes, from `fn` to its closing brace: (line, name, lines). Works on blanked
/// code.
pub fn functions(code: &str) -> Vec<(usize, String, usize)> {
    let mut found = Vec::new();
    let mut line_start = 0;
    for (number, line) in code.lines().enumerate() {
        if let Some(at) = fn_keyword(line) {
            let name: String =
                line[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            if let Some(lines) = body_lines(&code[line_start + at..]) {
                found.push((number + 1, name, lines));
            }
        }
        line_start += line.len() + 1;
    }
    found
}

/// Where `fn name` starts in a line; `fn(` is a type.
fn fn_keyword(line: &str) -> Option<usize> {
    let at = if line.starts_with("fn ") { 0 } else { line.find(" fn ")? + 1 };
    line[at + 3..].starts_with(|c: char| c.is_alphabetic() || c == '_').then_some(at)
}

/// Lines up to the brace that closes the first one opened; none for a declaration without a body.
fn body_lines(code: &str) -> Option<usize> {
    let mut depth = 0_usize;
    let mut brackets = 0_usize;
    let mut lines = 1;
    for c in code.chars() {
        match c {
            '\n' => lines += 1,
            // `[u8; 4]` in a signature does not end it.
            '[' | '(' => brackets += 1,
            ']' | ')' => brackets = brackets.saturating_sub(1),
            ';' if depth == 0 && brackets == 0 => return None,
            '{' => depth += 1,
            '}' => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some(lines);
                }
            }
            _ => {}
        }
    }
    None
}

#[test]
fn literals_and_comments_are_blanked() {
    let text = "a(\"x\\\"{\", 'y', '\\'', r#\"}\"#) // {\n/* { /* } */ */ b'{' 'life: loop";
    let blanked = blank(text);
    assert!(!blanked.contains(['{', '}', 'x', 'y']), "{blanked}");
    assert!(blanked.contains("'life: loop") && blanked.lines().count() == 2, "{blanked}");
}

#[test]
fn functions_are_measured() {
    let code = "fn a() {}\ntrait T {\n    fn b(x: [u8; 4]);\n    fn c()\n    {\n        {}\n    }\n}\n";
    assert_eq!(functions(code), [(1, "a".to_owned(), 1), (4, "c".to_owned(), 4)]);
}
