//! Compares the output of the kernel with that of the model.
//!
//! The kernel commits by itself once a second (`COMMIT_PERIOD` in Linux `drivers/md/dm-thin.c`): what a crash takes
//! away is nobody's promise. So that of each crash both are right, all or nothing of what was not committed; a script
//! has no more than one such write before a crash.

use anyhow::Result;

use super::machine::SimMachine;
use super::runner::transcript;

/// Where both say something else.
#[derive(Debug)]
pub struct Difference {
    /// The line of the script before it.
    pub after: String,
    /// The kernel's output there.
    pub kernel: String,
    /// The model's output.
    pub model: String,
    /// The number of the line.
    pub line: usize,
}

/// Compares what the kernel showed of a script with the model, and gives how many crashes left what was not committed;
/// or where the model comes farthest.
///
/// # Errors
/// If a line of the script is not understood.
pub fn compare(script: &str, kernel: &str) -> Result<std::result::Result<usize, Difference>> {
    let crashes = script.lines().filter(|line| line.trim() == "crash").count();
    search(script, kernel, &mut vec![false; crashes], 0)
}

/// Tries the crashes from `first` on the other way, the last one before the difference first.
fn search(
    script: &str,
    kernel: &str,
    kept: &mut Vec<bool>,
    first: usize,
) -> Result<std::result::Result<usize, Difference>> {
    let model = transcript(&mut SimMachine::with_crashes(kept.iter().copied()), script)?;
    let Some(mut farthest) = difference(kernel, &model) else {
        return Ok(Ok(kept.iter().filter(|kept| **kept).count()));
    };
    let before = model.lines().take(farthest.line).filter(|line| line.trim() == "crash").count();
    for crash in (first..before).rev() {
        kept[crash] = true;
        match search(script, kernel, kept, crash + 1)? {
            Ok(agrees) => return Ok(Ok(agrees)),
            Err(found) if found.line > farthest.line => farthest = found,
            Err(_) => {}
        }
        kept[crash] = false;
    }
    Ok(Err(farthest))
}

fn difference(kernel: &str, model: &str) -> Option<Difference> {
    let end = "(the end)";
    let mut after = "";
    let mut models = model.lines();
    for (line, shown) in kernel.lines().chain([end]).enumerate() {
        let model = models.next().unwrap_or(end);
        if shown != model {
            return Some(Difference {
                after: after.to_owned(),
                kernel: shown.to_owned(),
                model: model.to_owned(),
                line,
            });
        }
        if !shown.starts_with('>') {
            after = shown;
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::compare;
    use crate::scripts::machine::SimMachine;
    use crate::scripts::runner::transcript;

    const SCRIPT: &str = "pool\nmessage tpool create_thin 1\ncreate t\nload t 0 1024 thin $tpool 1\nresume t\n\
         write t 0 1\ncrash\npool again\ncreate t\nload t 0 1024 thin $tpool 1\nresume t\nread t 0\n\
         write t 128 2\ncrash\npool again\ncreate t\nload t 0 1024 thin $tpool 1\nresume t\nread t 128\n";

    #[test]
    fn a_crash_may_keep_or_lose_what_was_not_committed() {
        for (kept, count) in [([false, false], 0), ([true, false], 1), ([false, true], 1), ([true, true], 2)]
        {
            let shown = transcript(&mut SimMachine::with_crashes(kept), SCRIPT).unwrap();
            assert_eq!(compare(SCRIPT, &shown).unwrap().unwrap(), count, "{kept:?}");
        }
    }

    #[test]
    fn anything_else_is_a_difference() {
        let shown = transcript(&mut SimMachine::default(), SCRIPT).unwrap();
        for (from, to, after) in
            [("read t 0\n> 0", "read t 0\n> 7", "read t 0"), ("> ok, with uevent", "> EIO", "resume t")]
        {
            let found = compare(SCRIPT, &shown.replacen(from, to, 1)).unwrap().unwrap_err();
            assert_eq!(found.after, after);
        }
        let short = shown.trim_end().rsplit_once('\n').unwrap().0;
        assert_eq!(compare(SCRIPT, short).unwrap().unwrap_err().kernel, "(the end)");
    }
}
