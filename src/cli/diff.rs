//! What a change of a text file would do, in the form of `diff -u`.

/// Lines shown around a change.
const CONTEXT: usize = 3;

/// The difference of two texts as one hunk; empty if there is none.
pub fn unified(file: &str, old: &[u8], new: &[u8]) -> String {
    if old == new {
        return String::new();
    }
    let (old, new) = (lines(old), lines(new));
    let shorter = old.len().min(new.len());
    let head = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let tail = old.iter().rev().zip(new.iter().rev()).take_while(|(a, b)| a == b).count().min(shorter - head);
    let start = head.saturating_sub(CONTEXT);
    let behind = tail.min(CONTEXT);
    let range = |length: usize| {
        let count = length - tail + behind - start;
        // Of nothing the line before it is named.
        format!("{},{count}", if count == 0 { start } else { start + 1 })
    };
    let mut text = format!("--- {file}\n+++ {file}\n@@ -{} +{} @@\n", range(old.len()), range(new.len()));
    let mut put = |mark: char, lines: &[String]| {
        for line in lines {
            text.push(mark);
            text.push_str(line);
            if !line.ends_with('\n') {
                text.push_str("\n\\ No newline at end of file\n");
            }
        }
    };
    put(' ', &old[start..head]);
    put('-', &old[head..old.len() - tail]);
    put('+', &new[head..new.len() - tail]);
    put(' ', &old[old.len() - tail..old.len() - tail + behind]);
    text
}

fn lines(text: &[u8]) -> Vec<String> {
    let lines = text.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_shown_with_what_stands_around_it() {
        let hunk = |old: &str, new: &str| unified("f", old.as_bytes(), new.as_bytes());
        assert_eq!(hunk("a\n", "a\n"), "");
        assert_eq!(hunk("", "x\n"), "--- f\n+++ f\n@@ -0,0 +1,1 @@\n+x\n");
        assert_eq!(hunk("x\n", ""), "--- f\n+++ f\n@@ -1,1 +0,0 @@\n-x\n");
        assert_eq!(
            hunk("1\n2\n3\n4\n5\n6\n7\n8\n9\n", "1\n2\n3\n4\nx\ny\n6\n7\n8\n9\n"),
            "--- f\n+++ f\n@@ -2,7 +2,8 @@\n 2\n 3\n 4\n-5\n+x\n+y\n 6\n 7\n 8\n"
        );
        assert_eq!(hunk("a\na\n", "a\n"), "--- f\n+++ f\n@@ -1,2 +1,1 @@\n a\n-a\n");
        assert_eq!(
            hunk("a", "a\nb"),
            "--- f\n+++ f\n@@ -1,1 +1,2 @@\n-a\n\\ No newline at end of file\n+a\n+b\n\\ No newline at end of file\n"
        );
    }
}
