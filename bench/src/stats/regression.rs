//! The straight line through measurements, by which a leak is told from noise.

/// A line fitted by least squares.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Regression {
    /// Growth of y for one unit of x.
    pub slope: f64,
    /// y where x is zero.
    pub intercept: f64,
    /// Share of the variance of y that the line explains, 0 to 1. Zero where y does not vary.
    pub r_squared: f64,
}

/// Fits a line to points `(x, y)`; `None` with fewer than two different x.
pub fn regression(points: &[(f64, f64)]) -> Option<Regression> {
    let count = points.len() as f64;
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(|point| point.0), mean(|point| point.1));
    let sum = |of: fn(f64, f64) -> f64| -> f64 {
        points.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum()
    };
    let (xx, xy, yy) = (sum(|x, _| x * x), sum(|x, y| x * y), sum(|_, y| y * y));
    // Not finite where an x is not.
    if xx == 0.0 || !xx.is_finite() || points.is_empty() {
        return None;
    }
    let slope = xy / xx;
    Some(Regression {
        slope,
        intercept: mean_y - slope * mean_x,
        r_squared: if yy > 0.0 { xy * xy / (xx * yy) } else { 0.0 },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(left: f64, right: f64) -> bool {
        (left - right).abs() < 1e-9
    }

    #[test]
    fn known_answers() {
        // Anscombe's first quartet: slope 0.5, intercept 3, R² 0.6665 (published to that precision).
        let anscombe = [
            (10.0, 8.04),
            (8.0, 6.95),
            (13.0, 7.58),
            (9.0, 8.81),
            (11.0, 8.33),
            (14.0, 9.96),
            (6.0, 7.24),
            (4.0, 4.26),
            (12.0, 10.84),
            (7.0, 4.82),
            (5.0, 5.68),
        ];
        let line = regression(&anscombe).unwrap();
        assert!((line.slope - 0.500_090_909).abs() < 1e-8, "{line:?}");
        assert!((line.intercept - 3.000_090_909).abs() < 1e-8, "{line:?}");
        assert!((line.r_squared - 0.666_542_459).abs() < 1e-8, "{line:?}");

        // By hand: means 2 and 3; xx 2, xy 1, yy 2.
        let line = regression(&[(1.0, 3.0), (2.0, 2.0), (3.0, 4.0)]).unwrap();
        assert!(
            close(line.slope, 0.5) && close(line.intercept, 2.0) && close(line.r_squared, 0.25)
        );
    }

    #[test]
    fn lines_are_found_exactly_and_flat_ones_explain_nothing() {
        let line = regression(&[(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]).unwrap();
        assert!(close(line.slope, 2.0) && close(line.intercept, 1.0) && close(line.r_squared, 1.0));
        let flat = regression(&[(0.0, 4.0), (1.0, 4.0), (9.0, 4.0)]).unwrap();
        assert_eq!(
            (flat.slope, flat.intercept, flat.r_squared),
            (0.0, 4.0, 0.0)
        );
    }

    #[test]
    fn too_few_points_have_no_line() {
        for points in [
            &[][..],
            &[(1.0, 1.0)],
            &[(2.0, 1.0), (2.0, 5.0)],
            &[(f64::NAN, 1.0); 2],
        ] {
            assert_eq!(regression(points), None);
        }
    }

    proptest! {
        #[test]
        fn any_line_is_found_again(slope in -1e3..1e3_f64, intercept in -1e3..1e3_f64) {
            let points: Vec<(f64, f64)> =
                (0..20).map(|x| (f64::from(x), slope * f64::from(x) + intercept)).collect();
            let line = regression(&points).unwrap();
            prop_assert!((line.slope - slope).abs() < 1e-6);
            prop_assert!((0.0..=1.0 + 1e-9).contains(&line.r_squared));
        }
    }
}
