//! Compares the README's transcript with the output of the demo: the demo must print each of its lines, in this order.
//! Parts that differ from run to run (uuids, checksums, times, sizes of texts) are not compared.

use anyhow::{Result, bail};

/// The line before the transcript in the README.
const INTRODUCTION: &str = "Part of what the demo prints";

/// The indentation of its lines.
const INDENT: &str = "    ";

/// Checks the README's transcript.
///
/// # Errors
/// The first line that the demo did not print behind the previous ones.
pub fn check(readme: &str, printed: &str) -> Result<()> {
    let shown = shown(readme);
    if shown.len() < 20 {
        bail!("the README shows only {} lines of the demo", shown.len());
    }
    let mut lines = printed.lines().map(normal);
    for line in shown {
        let wanted = normal(line);
        // A line may go on with how long it took.
        if !lines.any(|line| line.starts_with(&wanted)) {
            bail!("the README shows a line that the demo does not print there: '{}'", line.trim());
        }
    }
    Ok(())
}

/// The lines of the transcript.
fn shown(readme: &str) -> Vec<&str> {
    let after = readme.lines().skip_while(|line| !line.starts_with(INTRODUCTION)).skip(1);
    let block = after
        .skip_while(|line| line.is_empty())
        .take_while(|line| line.is_empty() || line.starts_with(INDENT));
    block.filter(|line| !line.trim().is_empty()).collect()
}

/// A line with one space between its words, and `*` for words that differ from run to run.
fn normal(line: &str) -> String {
    let words = line.split_whitespace().map(|word| if is_fleeting(word) { "*" } else { word });
    words.collect::<Vec<_>>().join(" ")
}

/// Whether a word is a uuid, a checksum, a date, a time or the size of a text.
fn is_fleeting(word: &str) -> bool {
    let of_text = word.strip_prefix('(').is_some_and(|size| size.bytes().all(|byte| byte.is_ascii_digit()));
    let word = word.trim_matches(|c: char| c.is_ascii_punctuation());
    let lengths: Vec<usize> = word.split('-').map(str::len).collect();
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    lengths == [6, 4, 4, 4, 4, 4, 6]
        || word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
        || lengths == [4, 2, 2] && word.split('-').all(is_number)
        || word.split(':').count() == 3 && word.split(':').all(is_number)
        || of_text
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A README with a transcript of these lines and enough others.
    fn readme(lines: &[&str]) -> String {
        let all: Vec<String> = (0..20).map(|number| format!("line {number}")).collect();
        let all = all.iter().map(String::as_str).chain(lines.iter().copied());
        let block: Vec<String> = all.map(|line| format!("    {line}\n")).collect();
        format!(
            "Try it:\n\n    no transcript\n\n{INTRODUCTION} (shortened):\n\n{}\nThe end.\n",
            block.concat()
        )
    }

    fn printed(lines: &[&str]) -> String {
        let all: Vec<String> = (0..20).map(|number| format!("line   {number}\nanother\n")).collect();
        all.concat() + &lines.join("\n")
    }

    #[test]
    fn lines_come_in_order_and_what_is_fleeting_may_differ() {
        let shown = [
            "mark pool PmqOBK-NzB3-mk5f-zW8o-aTUW-nB1B-yI2adO",
            "before df6477eb036e, at 2026-11-26 00:19:08 UTC",
            "2 commits",
        ];
        let demo = [
            "mark pool aaaaaa-bbbb-cccc-dddd-eeee-ffff-gggggg",
            "before 0123456789ab, at 2027-01-02 03:04:05 UTC",
            "2 commits, 17 ms",
        ];
        check(&readme(&shown), &printed(&demo)).unwrap();
        let error = check(&readme(&shown), &printed(&[demo[1], demo[0], demo[2]])).unwrap_err().to_string();
        assert!(error.contains("'before df6477eb036e"), "{error}");
        assert!(check(&readme(&["3 commits"]), &printed(&demo)).is_err());
        assert!(check("no transcript", &printed(&demo)).is_err());
    }
}
