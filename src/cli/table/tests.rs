use super::*;

#[derive(Debug)]
struct Row(&'static str, Option<u64>);

const COLUMNS: &[Column<Row>] = &[
    Column {
        name: "name",
        title: "Name",
        form: "text",
        about: "its name",
        cell: |row| Cell::Text(row.0.into()),
    },
    Column {
        name: "size",
        title: "Size",
        form: "number (bytes) or null",
        about: "how large it is",
        cell: |row| Cell::size(row.1),
    },
    Column {
        name: "known",
        title: "Known",
        form: "boolean",
        about: "whether that is known",
        cell: |row| Cell::Flag(row.1.is_some()),
    },
];

fn rows() -> Vec<Row> {
    vec![Row("b", Some(1 << 30)), Row("a", None), Row("C", Some(1536 << 10))]
}

fn table(options: TableOptions) -> Table<Row> {
    options.table(COLUMNS, &["name", "size"], Unit::Kibi, rows()).unwrap()
}

fn text(options: TableOptions) -> String {
    let mut out = Vec::new();
    table(options).text(&mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn columns_of(list: &str) -> TableOptions {
    TableOptions { columns: Some(list.into()), ..TableOptions::default() }
}

#[test]
fn columns_are_those_asked_for() {
    assert_eq!(
        text(TableOptions::default()),
        "Name  Size (KiB)\nb        1048576\na              -\nC           1536\n"
    );
    assert_eq!(text(columns_of("known,name")), "Known  Name\nyes    b\nno     a\nyes    C\n");
    let bare = TableOptions { noheadings: true, ..columns_of("+known") };
    assert_eq!(text(bare), "b  1048576  yes\na        -  no\nC     1536  yes\n");
    assert!(table(TableOptions::default()).is_usual() && !table(columns_of("all")).is_usual());
}

#[test]
fn sizes_have_the_unit_asked_for() {
    let sizes = |unit: &str| {
        let units = Some(Units::parse(unit).unwrap());
        text(TableOptions { units, noheadings: true, ..columns_of("size") })
    };
    assert_eq!(sizes("b"), "1073741824\n         -\n   1572864\n");
    assert_eq!(sizes("s"), "2097152\n      -\n   3072\n");
    assert_eq!(sizes("m"), "1024\n   -\n1.50\n");
    assert_eq!(sizes("g"), "   1\n   -\n0.00\n");
    assert_eq!(sizes("h"), "   1 GiB\n       -\n1.50 MiB\n");
    assert!(Units::parse("M").is_err(), "lvm2 means powers of 1000 by it");
    let headed = TableOptions { units: Some(Units::Human), ..columns_of("size") };
    assert!(text(headed).starts_with("    Size\n"));
}

#[test]
fn rows_are_sorted_as_asked() {
    let sorted = |by: &str| {
        let rows = table(TableOptions { sort: Some(by.into()), ..TableOptions::default() }).rows;
        rows.iter().map(|row| row.0).collect::<String>()
    };
    assert_eq!(sorted("name"), "abC");
    assert_eq!(sorted("-size"), "bCa");
    assert_eq!(sorted("size"), "aCb");
    assert_eq!(sorted("known,-name"), "aCb");
}

#[test]
fn json_has_all_columns_or_those_asked_for() {
    let all = serde_json::to_value(table(TableOptions::default())).unwrap();
    assert_eq!(all[1], serde_json::json!({"name": "a", "size": null, "known": false}));
    assert_eq!(
        serde_json::to_value(table(columns_of("size"))).unwrap()[0],
        serde_json::json!({"size": 1 << 30})
    );
}

#[test]
fn a_column_that_is_none_is_told_with_those_there_are() {
    for options in
        [columns_of("name,sise"), TableOptions { sort: Some("sise".into()), ..TableOptions::default() }]
    {
        let error = options.table(COLUMNS, &[], Unit::Byte, rows()).unwrap_err();
        assert_eq!(error.message, "there is no column 'sise'");
        assert_eq!(error.hint.as_deref(), Some("the columns are name, size, known"));
    }
}

#[test]
fn help_follows_from_the_columns() {
    assert_eq!(
        form(COLUMNS),
        "{(with -o, only the keys of these columns)\n     \
         \"name\"?, \"size\"?: number (bytes) or null, \"known\"?: boolean}"
    );
    assert!(
        about(COLUMNS, &["name"])
            .ends_with("\n *name   its name\n  size   how large it is\n  known  whether that is known")
    );
}
