//! Pictures in plain SVG: lines over time, and columns of a distribution.
//!
//! Colours and fonts come from the page's style, so that they follow light and dark. The drawing
//! is 400 units wide, about a phone's screen, so that its letters stay readable there.

use std::fmt::Write as _;

use super::escape;
use crate::table::{format_micros, format_number};

const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 210.0;
const LEFT: f64 = 66.0;
const RIGHT: f64 = 388.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 182.0;
/// Lines that have a colour of their own.
const COLOURS: usize = 4;

/// A line of a chart.
#[derive(Clone, Debug)]
pub(super) struct Line<'a> {
    /// Its name in the legend.
    pub(super) label: &'a str,
    /// Seconds and values.
    pub(super) points: Vec<(f64, f64)>,
}

/// Lines over time, from zero up.
pub(super) fn lines(title: &str, lines: &[Line<'_>], shown: impl Fn(f64) -> String) -> String {
    let all = || lines.iter().flat_map(|line| &line.points);
    let longest = all().map(|point| point.0).fold(0.0, f64::max);
    let highest = all().map(|point| point.1).fold(0.0, f64::max);
    let (step, top) = ticks(highest);
    let x = |seconds: f64| LEFT + (RIGHT - LEFT) * seconds / longest.max(1e-9);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;

    let mut svg = String::new();
    let mut level = 0.0;
    while level <= top * 1.001 {
        grid(&mut svg, y(level), &shown(level));
        level += step;
    }
    let (seconds, _) = ticks(longest);
    let mut at = 0.0;
    while at <= longest * 1.001 {
        below(&mut svg, x(at), &format!("{}s", format_number(at)));
        at += seconds;
    }
    for (number, line) in lines.iter().enumerate() {
        let points = line
            .points
            .iter()
            .map(|(at, value)| format!("{:.1},{:.1}", x(*at), y(*value)));
        // Writing to a string cannot fail.
        let _ = write!(
            svg,
            "<polyline class=\"line s{}\" points=\"{}\"/>",
            number % COLOURS,
            points.collect::<Vec<_>>().join(" ")
        );
    }
    let mut legend = String::new();
    if lines.len() > 1 {
        legend.push_str("<div class=\"legend\">");
        for (number, line) in lines.iter().enumerate() {
            let _ = write!(
                legend,
                "<span><i class=\"k{}\"></i>{}</span>",
                number % COLOURS,
                escape(line.label)
            );
        }
        legend.push_str("</div>");
    }
    figure(title, &svg, &legend)
}

/// Columns of a distribution of times: upper bounds in microseconds and counts.
pub(super) fn columns(title: &str, bars: &[(u64, u64)]) -> String {
    let highest = bars.iter().map(|bar| bar.1).max().unwrap_or(0) as f64;
    let (step, top) = ticks(highest);
    let y = |value: f64| BOTTOM - (BOTTOM - TOP) * value / top;
    let width = (RIGHT - LEFT) / bars.len().max(1) as f64;

    let mut svg = String::new();
    let mut level = 0.0;
    while level <= top * 1.001 {
        grid(&mut svg, y(level), &format_number(level));
        level += step;
    }
    let labels = bars.len().div_ceil(4).max(1);
    for (number, (bound, count)) in bars.iter().enumerate() {
        let left = LEFT + width * number as f64;
        let height = BOTTOM - y(*count as f64);
        let _ = write!(
            svg,
            "<rect class=\"bar\" x=\"{left:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\">\
             <title>up to {}: {count}</title></rect>",
            BOTTOM - height,
            (width - 1.0).max(0.5),
            format_micros(*bound as f64)
        );
        if number % labels == labels / 2 {
            below(&mut svg, left + width / 2.0, &format_micros(*bound as f64));
        }
    }
    figure(title, &svg, "")
}

fn figure(title: &str, svg: &str, legend: &str) -> String {
    format!(
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         role=\"img\" aria-label=\"{title}\">{svg}</svg>{legend}</figure>",
        title = escape(title)
    )
}

fn grid(svg: &mut String, y: f64, label: &str) {
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" y1=\"{y:.1}\" x2=\"{RIGHT}\" y2=\"{y:.1}\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
        LEFT - 6.0,
        y + 4.0,
        // Ticks are round numbers: 300ms says it.
        escape(&label.replace(".00", ""))
    );
}

fn below(svg: &mut String, x: f64, label: &str) {
    // The widest labels are some 50 units; none may leave the drawing.
    let x = x.min(WIDTH - 26.0);
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
        BOTTOM + 18.0,
        escape(label)
    );
}

/// A round distance between some five levels from zero to at least `highest`, and the last level.
fn ticks(highest: f64) -> (f64, f64) {
    if !(highest.is_finite() && highest > 0.0) {
        return (1.0, 1.0);
    }
    let raw = highest / 4.0;
    let magnitude = 10_f64.powf(raw.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * magnitude)
        .find(|step| *step >= raw * 0.999)
        .unwrap_or(raw);
    (step, step * (highest / step * 0.999).ceil())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn levels_are_round() {
        let cases = [
            (4.0, 1.0, 4.0),
            (100.0, 25.0, 100.0),
            (101.0, 50.0, 150.0),
            (0.0, 1.0, 1.0),
        ];
        for (highest, step, top) in cases {
            assert_eq!(ticks(highest), (step, top), "{highest}");
        }
        assert_eq!(ticks(f64::NAN), (1.0, 1.0));
    }

    proptest! {
        #[test]
        fn every_value_fits_under_few_levels(highest in 1e-6..1e12_f64) {
            let (step, top) = ticks(highest);
            prop_assert!(top >= highest * 0.998, "{top}");
            prop_assert!((1.0..=6.0).contains(&(top / step).round()), "{step} {top}");
        }
    }

    #[test]
    fn lines_stay_within_the_drawing() {
        let line = Line {
            label: "a<b",
            points: vec![(0.0, 0.0), (5.0, 7.0), (10.0, 3.0)],
        };
        let text = lines("t", &[line.clone(), line], |value| value.to_string());
        assert!(text.contains("points=\"66.0,182.0 "), "{text}");
        assert!(text.contains("a&lt;b") && text.contains("k1"), "{text}");
        let bars = columns("t", &[(10, 1), (20, 4)]);
        assert_eq!(bars.matches("<rect").count(), 2);
        assert!(bars.contains("up to 20us: 4"), "{bars}");
    }
}
