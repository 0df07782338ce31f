//! A span of time in as few pieces as can be: buckets as wide as fit, and rows at the edges.

use super::super::rollup::WIDTHS;

/// A part of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The width of the buckets that hold it, ms; `None` for rows.
    pub width: Option<i64>,
    /// Its first moment, Unix ms.
    pub from: i64,
    /// The first moment after it.
    pub to: i64,
}

/// Splits the span from `from` to before `to`, with buckets no wider than `widest`, in order.
pub fn split(from: i64, to: i64, widest: i64) -> Vec<Piece> {
    let usable = WIDTHS.iter().take_while(|width| **width <= widest).count();
    let mut pieces = Vec::new();
    add(
        from,
        to,
        WIDTHS.get(..usable).unwrap_or_default(),
        &mut pieces,
    );
    pieces
}

fn add(from: i64, to: i64, widths: &[i64], pieces: &mut Vec<Piece>) {
    if from >= to {
        return;
    }
    let Some((width, finer)) = widths.split_last() else {
        let width = None;
        return pieces.push(Piece { width, from, to });
    };
    let first = from.div_euclid(*width) * width
        + if from.rem_euclid(*width) == 0 {
            0
        } else {
            *width
        };
    let last = to.div_euclid(*width) * width;
    if first >= last {
        return add(from, to, finer, pieces);
    }
    add(from, first, finer, pieces);
    pieces.push(Piece {
        width: Some(*width),
        from: first,
        to: last,
    });
    add(last, to, finer, pieces);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::rollup::{DAY, HOUR, MINUTE};
    use super::*;

    #[test]
    fn whole_days_are_one_piece_and_edges_are_short() {
        assert_eq!(
            split(DAY, 3 * DAY, DAY),
            [Piece {
                width: Some(DAY),
                from: DAY,
                to: 3 * DAY
            }]
        );
        let widths: Vec<Option<i64>> = split(1, 9 * DAY - 1, DAY)
            .iter()
            .map(|piece| piece.width)
            .collect();
        let (m, h, d) = (Some(MINUTE), Some(HOUR), Some(DAY));
        assert_eq!(widths, [None, m, h, d, h, m, None]);
        assert!(split(5, 5, DAY).is_empty() && split(6, 5, DAY).is_empty());
    }

    proptest! {
        #[test]
        fn pieces_cover_the_span_once_and_are_aligned(
            from in 0_i64..20 * DAY, length in 0_i64..20 * DAY, widest in 0_usize..3,
        ) {
            let widest = WIDTHS[widest];
            let mut at = from;
            for piece in split(from, from + length, widest) {
                prop_assert_eq!(piece.from, at);
                prop_assert!(piece.to > piece.from);
                match piece.width {
                    Some(width) => {
                        prop_assert!(width <= widest);
                        prop_assert_eq!((piece.from % width, piece.to % width), (0, 0));
                    }
                    None => prop_assert!(piece.to - piece.from < MINUTE * 2),
                }
                at = piece.to;
            }
            prop_assert_eq!(at, from + length);
        }
    }
}
