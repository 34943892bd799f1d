//! `docs/man` holds a page of the manual for each command, made from what its help is made from.

use clap::CommandFactory;
use clap_mangen::Man;
use clap_mangen::roff::Roff;
use cli::args::Cli;

use crate::golden;

/// The section of commands for administrators.
const SECTION: &str = "8";

/// The pages, by the words that lead to each command.
fn pages() -> Vec<(String, String)> {
    fn below(command: clap::Command, name: &str, pages: &mut Vec<(String, String)>) {
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help" && !sub.is_hide_set()) {
            let name = format!("{name}-{}", sub.get_name());
            below(sub.clone(), &name, pages);
        }
        pages.push((name.to_owned(), page(command, name)));
    }
    let mut command = Cli::command();
    command.build();
    let mut pages = Vec::new();
    below(command, "thinvol", &mut pages);
    pages
}

/// The generated sections, but for what follows the help: that keeps its lines.
fn page(command: clap::Command, name: &str) -> String {
    let after = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    let has_subcommands = command.get_subcommands().any(|sub| sub.get_name() != "help" && !sub.is_hide_set());
    let man = Man::new(command.display_name(name).version(env!("CARGO_PKG_VERSION")))
        .section(SECTION)
        .manual("thinvol")
        .date("");
    let mut out = Vec::new();
    let mut render = |what: &dyn Fn(&mut Vec<u8>) -> std::io::Result<()>| {
        what(&mut out).expect("writing to memory does not fail");
    };
    render(&|out| man.render_title(out));
    render(&|out| man.render_name_section(out));
    render(&|out| man.render_synopsis_section(out));
    render(&|out| man.render_description_section(out));
    render(&|out| man.render_options_section(out));
    if has_subcommands {
        render(&|out| man.render_subcommands_section(out));
    }
    let mut roff = Roff::new();
    for paragraph in after.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
        let (title, body) = match paragraph.split_once(":\n") {
            Some((title, body)) if !title.contains('\n') => (title, body),
            _ => ("Notes", paragraph),
        };
        roff.control("SH", [title.to_uppercase().as_str()]);
        roff.control("nf", []);
        for line in body.lines() {
            roff.text([clap_mangen::roff::roman(line)]);
        }
        roff.control("fi", []);
    }
    render(&|out| roff.to_writer(out));
    let text = String::from_utf8(out).expect("help is UTF-8");
    text.lines().map(|line| format!("{}\n", line.trim_end())).collect()
}

#[test]
fn the_manual_is_what_help_says() {
    let pages = pages();
    let dir = crate::terminal::repository().join("docs/man");
    let files: Vec<_> = pages.iter().map(|(name, _)| dir.join(format!("{name}.{SECTION}"))).collect();
    let texts = pages.iter().map(|(_, text)| text.as_str());
    golden::check_all(files.iter().map(|file| file.as_path()).zip(texts))
        .unwrap_or_else(|wrong| panic!("{wrong}"));
    let mut there: Vec<String> = std::fs::read_dir(dir)
        .expect("the pages are there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    let mut expected: Vec<String> = pages.iter().map(|(name, _)| format!("{name}.{SECTION}")).collect();
    there.sort();
    expected.sort();
    assert_eq!(there, expected, "pages of commands that are gone, or the other way round");
}
