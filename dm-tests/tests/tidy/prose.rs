//! Turns of phrase that say in a riddle what plain words say.

use crate::tree::File;

/// Each with what to write instead. Lower case; searched in sentences that may go on over lines.
const RIDDLES: [(&str, &str); 26] = [
    ("nobody knows", "'unknown', or who does not know it"),
    ("what became of", "'the outcome of', 'whether it took effect'"),
    ("and is none", "what it is instead"),
    ("that is none", "'not valid', 'does not exist'"),
    ("is no yes", "'is not yes'"),
    ("wrong lines are told", "'are reported'"),
    ("are told, with", "'are reported'"),
    ("are told all at once", "'are reported'"),
    ("whoever makes", "the subject that does it"),
    ("whoever has", "the subject that has it"),
    ("in one voice", "'alike'"),
    ("at any rate", "nothing, or the reason"),
    ("of no one instant", "'does not show one instant'"),
    ("how to go about it", "what it sets"),
    ("what it comes to", "'the outcome'"),
    ("many wishes in one", "'combines many requests'"),
    ("is spoken of", "'is shown', 'is reported'"),
    ("goes there is to be", "one verb"),
    ("takes all of it back", "'undoes all of it'"),
    ("it is looked whether", "'to check whether'"),
    ("still wanted", "'was not cancelled'"),
    ("what is due", "'the expected one'"),
    ("live their lives", "'are installed, upgraded, removed'"),
    ("is in the way", "'prevents it', or what does"),
    ("what the system said", "'the system's error'"),
    ("to say against", "'a complaint'"),
];

/// Sentences with such a turn. This file has to name them.
pub fn riddles(file: &File) -> Vec<String> {
    if file.path == "dm-tests/tests/tidy/prose.rs" || file.path == "dm-tests/tests/tidy/main.rs" {
        return Vec::new();
    }
    let (text, lines) = sentences(&file.text);
    let mut violations = Vec::new();
    for (riddle, instead) in RIDDLES {
        for (at, _) in text.match_indices(riddle) {
            let line = lines.partition_point(|start| *start <= at);
            violations.push(file.violation(line, &format!("'{riddle}': write {instead}")));
        }
    }
    // Said of arguments, it says nothing: their help is to stand there.
    for (number, line) in file.text.lines().enumerate() {
        if line.trim_start().starts_with("/// What `thinvol ") && line.trim_end().ends_with("` takes.") {
            violations.push(file.violation(number + 1, "says nothing: write the command's help"));
        }
    }
    violations
}

/// The text in lower case without marks of comments, lines joined by one blank, and where each line starts in it.
fn sentences(text: &str) -> (String, Vec<usize>) {
    let (mut joined, mut starts) = (String::with_capacity(text.len()), Vec::new());
    for line in text.lines() {
        starts.push(joined.len());
        joined.push_str(&line.trim().trim_start_matches(['/', '!', '#', '|', '>']).trim().to_lowercase());
        joined.push(' ');
    }
    (joined, starts)
}
