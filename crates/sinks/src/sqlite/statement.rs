//! The SQL that a sink speaks; pure text, every identifier quoted.

use pipeline::sink::Cell;

/// A name as an identifier that nothing in it can end.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The column type that suits a first value.
pub(super) fn column_type(cell: &Cell, in_key: bool) -> &'static str {
    match cell {
        // `INTEGER PRIMARY KEY` would be an alias of the row number and refuse other values.
        Cell::Integer(_) if in_key => "INT",
        Cell::Integer(_) => "INTEGER",
        Cell::Real(_) => "REAL",
        Cell::Text(_) | Cell::Null => "TEXT",
    }
}

/// A new table with these `(name, type)` columns and a primary key.
pub(super) fn create_table(table: &str, columns: &[(&str, &str)], key: &[String]) -> String {
    let column = |(name, kind): &(&str, &str)| {
        let in_key = key.iter().any(|part| part.eq_ignore_ascii_case(name));
        let not_null = if in_key { " NOT NULL" } else { "" };
        format!("{} {kind}{not_null}", quoted(name))
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    let (table, columns, key) = (quoted(table), columns.join(", "), list(key));
    format!("CREATE TABLE {table} ({columns}, PRIMARY KEY ({key}))")
}

/// One more column.
pub(super) fn add_column(table: &str, column: &str, kind: &str) -> String {
    format!("ALTER TABLE {} ADD COLUMN {} {kind}", quoted(table), quoted(column))
}

/// Insert a row, or replace the one with the same key; one parameter per column.
pub(super) fn upsert(table: &str, columns: &[String], key: &[String]) -> String {
    let marks = vec!["?"; columns.len()].join(", ");
    let plain = |column: &&String| !key.iter().any(|part| part.eq_ignore_ascii_case(column));
    let set = |column: &String| format!("{0} = excluded.{0}", quoted(column));
    let sets: Vec<String> = columns.iter().filter(plain).map(set).collect();
    let action = if sets.is_empty() {
        "NOTHING".to_owned()
    } else {
        format!("UPDATE SET {}", sets.join(", "))
    };
    let (table, columns, key) = (quoted(table), list(columns), list(key));
    format!("INSERT INTO {table} ({columns}) VALUES ({marks}) ON CONFLICT ({key}) DO {action}")
}

/// Delete every row whose `column` is the parameter.
pub(super) fn delete(table: &str, column: &str) -> String {
    format!("DELETE FROM {} WHERE {} = ?1", quoted(table), quoted(column))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| quoted(name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_quote_in_a_name_cannot_end_it() {
        assert_eq!(quoted("a\"; drop table t; --"), "\"a\"\"; drop table t; --\"");
    }

    #[test]
    fn a_new_table_has_its_key() {
        let columns = [("key", "TEXT"), ("n", "INTEGER")];
        assert_eq!(
            create_table("t", &columns, &names(&["key"])),
            "CREATE TABLE \"t\" (\"key\" TEXT NOT NULL, \"n\" INTEGER, PRIMARY KEY (\"key\"))"
        );
        assert_eq!(add_column("t", "x", "REAL"), "ALTER TABLE \"t\" ADD COLUMN \"x\" REAL");
    }

    #[test]
    fn an_upsert_replaces_all_but_the_key() {
        assert_eq!(
            upsert("t", &names(&["key", "a"]), &names(&["KEY"])),
            "INSERT INTO \"t\" (\"key\", \"a\") VALUES (?, ?) ON CONFLICT (\"KEY\") \
             DO UPDATE SET \"a\" = excluded.\"a\""
        );
        assert_eq!(
            upsert("t", &names(&["key"]), &names(&["key"])),
            "INSERT INTO \"t\" (\"key\") VALUES (?) ON CONFLICT (\"key\") DO NOTHING"
        );
    }

    #[test]
    fn a_whole_number_in_the_key_is_no_row_number() {
        assert_eq!(column_type(&Cell::Integer(1), true), "INT");
        assert_eq!(column_type(&Cell::Integer(1), false), "INTEGER");
    }
}
