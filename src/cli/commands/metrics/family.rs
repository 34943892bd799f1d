//! Numbers in the text format of Prometheus.
//!
//! Source: <https://prometheus.io/docs/instrumenting/exposition_formats/>, "Text-based format".

use std::collections::BTreeMap;
use std::fmt::Write;

use serde::Serialize;

/// What becomes of a number. All of them go up and down.
const KIND: &str = "gauge";

/// All numbers of one name.
#[derive(Debug, Serialize)]
pub(super) struct Family {
    name: &'static str,
    help: &'static str,
    samples: Vec<Sample>,
}

#[derive(Debug, Serialize)]
struct Sample {
    labels: BTreeMap<&'static str, String>,
    value: u64,
}

/// Which of them a number is.
pub(super) type Labels<'a> = [(&'static str, &'a str)];

/// All numbers, in the order of their names' first one.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(super) struct Families(Vec<Family>);

impl Families {
    /// Adds a number.
    pub(super) fn add(&mut self, name: &'static str, help: &'static str, labels: &Labels<'_>, value: u64) {
        let labels = labels.iter().map(|(label, value)| (*label, (*value).to_owned())).collect();
        let sample = Sample { labels, value };
        match self.0.iter_mut().find(|family| family.name == name) {
            Some(family) => family.samples.push(sample),
            None => self.0.push(Family { name, help, samples: vec![sample] }),
        }
    }

    /// As text.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for Family { name, help, samples } in &self.0 {
            // Writing to a string does not fail.
            let _ = writeln!(text, "# HELP {name} {}\n# TYPE {name} {KIND}", escaped(help, false));
            for Sample { labels, value } in samples {
                let labels: Vec<String> = labels
                    .iter()
                    .map(|(label, value)| format!("{label}=\"{}\"", escaped(value, true)))
                    .collect();
                let labels =
                    if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
                let _ = writeln!(text, "{name}{labels} {value}");
            }
        }
        text
    }
}

fn escaped(text: &str, quotes: bool) -> String {
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_told_once_with_all_its_numbers() {
        let mut families = Families::default();
        families.add("a_bytes", "How many.\nReally", &[("vg", "p\"v\\e"), ("pool", "data")], 7);
        families.add("b", "Another.", &[], u64::MAX);
        families.add("a_bytes", "How many.\nReally", &[("vg", "x"), ("pool", "y")], 0);
        assert_eq!(
            families.text(),
            "# HELP a_bytes How many.\\nReally\n\
             # TYPE a_bytes gauge\n\
             a_bytes{pool=\"data\",vg=\"p\\\"v\\\\e\"} 7\n\
             a_bytes{pool=\"y\",vg=\"x\"} 0\n\
             # HELP b Another.\n\
             # TYPE b gauge\n\
             b 18446744073709551615\n"
        );
    }
}
