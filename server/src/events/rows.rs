//! Statements of many rows: one trip to the database's thread instead of one for each row.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

/// How many rows one statement takes: so that few statements hold any number of rows, and so few
/// have to be prepared. Larger ones are slower: SQLite looks for each of the values by its name.
const SIZES: [usize; 6] = [32, 16, 8, 4, 2, 1];

/// Splits rows into pieces of the sizes that statements have.
pub fn pieces<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
        let (piece, rest) = rows.split_at(size);
        rows = rest;
        Some(piece)
    })
}

/// Text such as `($1, $2), ($3, $4)` for rows of so many columns.
pub fn values(rows: usize, columns: usize) -> String {
    let mut text = String::with_capacity(rows * (4 + columns * 6));
    for row in 0..rows {
        text.push_str(if row == 0 { "(" } else { ", (" });
        text.push_str(&list(row * columns + 1, columns));
        text.push(')');
    }
    text
}

/// Text such as `$3, $4, $5` for so many values from a number on.
pub fn list(first: usize, count: usize) -> String {
    let numbers: Vec<String> = (first..first + count)
        .map(|number| format!("${number}"))
        .collect();
    numbers.join(", ")
}

/// A statement made of constants and placeholders only.
pub fn statement<'q>(text: String) -> Query<'q, Any, AnyArguments> {
    sqlx::query(AssertSqlSafe(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_all_rows_in_order() {
        for count in [0, 1, 7, 8, 9, 63, 64, 65, 200] {
            let rows: Vec<usize> = (0..count).collect();
            let joined: Vec<usize> = pieces(&rows).flatten().copied().collect();
            assert_eq!(joined, rows);
            assert!(pieces(&rows).all(|piece| SIZES.contains(&piece.len())));
        }
    }

    #[test]
    fn placeholders_count_on() {
        assert_eq!(values(2, 3), "($1, $2, $3), ($4, $5, $6)");
        assert_eq!(list(4, 2), "$4, $5");
    }
}
