//! Text for people: aligned tables and numbers with their units.
//!
//! Called by the reports. Pure: makes strings, prints nothing.

/// Rows of cells under a heading, aligned: the first column left, the others right.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column names.
    pub fn new<'a>(heading: impl IntoIterator<Item = &'a str>) -> Self {
        Self {
            rows: vec![heading.into_iter().map(str::to_owned).collect()],
        }
    }

    /// Adds a row; missing cells stay empty.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is nothing but the heading.
    pub fn is_empty(&self) -> bool {
        self.rows.len() <= 1
    }

    /// The lines, two spaces between columns, without trailing spaces.
    pub fn render(&self) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        let mut text = String::new();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                if column == 0 {
                    line.push_str(&format!("{cell:<width$}"));
                } else {
                    line.push_str(&format!("  {cell:>width$}"));
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
        text
    }
}

/// A time given in microseconds, with three or four significant digits and its unit.
pub fn format_micros(micros: f64) -> String {
    match micros {
        micros if micros < 1e3 => format!("{micros:.0}us"),
        micros if micros < 1e6 => format!("{:.2}ms", micros / 1e3),
        micros => format!("{:.2}s", micros / 1e6),
    }
}

/// A number with at most two decimals, and thousands separated by commas.
pub fn format_number(number: f64) -> String {
    let text = format!("{number:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    let text = if text == "-0" { "0" } else { text };
    let (whole, decimals) = text
        .split_once('.')
        .map_or((text, None), |(whole, decimals)| (whole, Some(decimals)));
    let (sign, digits) = whole
        .strip_prefix('-')
        .map_or(("", whole), |digits| ("-", digits));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index) % 3 == 0 {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    match decimals {
        Some(decimals) => format!("{sign}{grouped}.{decimals}"),
        None => format!("{sign}{grouped}"),
    }
}

/// A row of blocks, each the mean of its part of the values, from the smallest to the largest.
pub fn sparkline(values: &[f64], width: usize) -> String {
    const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let columns = width.min(values.len());
    let means: Vec<f64> = (0..columns)
        .filter_map(|column| {
            let part = values.get(column * values.len() / columns..)?;
            let end = (column + 1) * values.len() / columns - column * values.len() / columns;
            let part = part.get(..end)?;
            Some(part.iter().sum::<f64>() / part.len() as f64)
        })
        .collect();
    let low = means.iter().copied().fold(f64::INFINITY, f64::min);
    let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let block = |mean: f64| {
        let share = if high > low {
            (mean - low) / (high - low)
        } else {
            0.0
        };
        let step = (share * (BLOCKS.len() - 1) as f64).round() as usize;
        BLOCKS.get(step).copied().unwrap_or(' ')
    };
    means.into_iter().map(block).collect()
}

/// A pass or failure mark.
pub fn mark(passed: bool) -> char {
    if passed { '✓' } else { '✗' }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_missing_cells_stay_empty() {
        let mut table = Table::new(["name", "p50", "p95"]);
        table.row(["longer-name".into(), "1".into(), "22.5".into()]);
        table.row(["é".into(), "100".into()]);
        assert_eq!(
            table.render(),
            "name         p50   p95\nlonger-name    1  22.5\né            100\n"
        );
    }

    #[test]
    fn a_sparkline_goes_from_the_smallest_to_the_largest() {
        assert_eq!(
            sparkline(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], 60),
            "▁▂▃▄▅▆▇█"
        );
        assert_eq!(sparkline(&[1.0, 3.0, 9.0, 9.0], 2), "▁█");
        assert_eq!(sparkline(&[5.0; 3], 60), "▁▁▁");
        assert_eq!(sparkline(&[], 60), "");
    }

    #[test]
    fn times_carry_their_unit() {
        let cases = [
            (0.0, "0us"),
            (999.0, "999us"),
            (1_000.0, "1.00ms"),
            (12_345.0, "12.35ms"),
            (2_500_000.0, "2.50s"),
        ];
        for (micros, text) in cases {
            assert_eq!(format_micros(micros), text);
        }
    }

    #[test]
    fn numbers_are_grouped_and_trimmed() {
        let cases = [
            (0.0, "0"),
            (-0.001, "0"),
            (0.5, "0.5"),
            (2.784, "2.78"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (1_234_567.899, "1,234,567.9"),
            (-1234.5, "-1,234.5"),
        ];
        for (number, text) in cases {
            assert_eq!(format_number(number), text);
        }
    }
}
