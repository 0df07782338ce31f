//! Exact tests with known answers.

use super::*;

#[test]
fn percentiles_of_one_to_a_thousand_microseconds_are_exact() {
    let mut trend = Trend::new();
    for micros in (1..=1000).rev() {
        trend.record(Duration::from_micros(micros));
    }
    assert_eq!(
        trend.summary(),
        Summary::Trend {
            count: 1000,
            min_us: Some(1),
            mean_us: Some(500.5),
            p50_us: Some(500),
            p95_us: Some(950),
            p99_us: Some(990),
            max_us: Some(1000),
        }
    );
}

#[test]
fn long_times_keep_three_digits_and_the_longest_are_capped() {
    let mut trend = Trend::new();
    trend.record(Duration::from_millis(2500));
    let p50 = trend.quantile(0.5).unwrap();
    assert!((2_500_000..2_502_500).contains(&p50), "{p50}");
    trend.record(Duration::from_secs(100_000));
    let max = trend.quantile(1.0).unwrap();
    assert!((3_600_000_000..3_604_000_000).contains(&max), "{max}");
}

#[test]
fn a_trend_without_observations_has_no_percentiles() {
    assert_eq!(Trend::new().quantile(0.99), None);
    assert!(matches!(
        Trend::new().summary(),
        Summary::Trend {
            count: 0,
            p50_us: None,
            max_us: None,
            mean_us: None,
            ..
        }
    ));
}

#[test]
fn merging_is_the_same_as_recording_in_one() {
    let (mut left, mut right, mut both) = (Trend::new(), Trend::new(), Trend::new());
    for micros in 0..500 {
        left.record(Duration::from_micros(micros));
        right.record(Duration::from_micros(micros * 3));
        both.record(Duration::from_micros(micros));
        both.record(Duration::from_micros(micros * 3));
    }
    left.merge(&right);
    assert_eq!(left.summary(), both.summary());
}

#[test]
fn what_came_since_an_older_copy_is_told_apart() {
    let mut trend = Trend::new();
    (1..=10).for_each(|micros| trend.record(Duration::from_micros(micros)));
    let earlier = trend.clone();
    (100..=109).for_each(|micros| trend.record(Duration::from_micros(micros)));
    let window = trend.since(&earlier);
    assert_eq!(window.count(), 10);
    assert_eq!(
        (window.quantile(0.5), window.quantile(1.0)),
        (Some(104), Some(109))
    );
    assert_eq!(trend.since(&Trend::new()).summary(), trend.summary());
}

#[test]
fn a_trend_survives_being_written_and_read() {
    let mut trend = Trend::new();
    for micros in [1, 1, 900, 5_000, 2_000_000] {
        trend.record(Duration::from_micros(micros));
    }
    let text = serde_json::to_string(&trend).unwrap();
    assert!(text.starts_with("[[1,2],[900,1],"), "{text}");
    let read: Trend = serde_json::from_str(&text).unwrap();
    assert_eq!(read.count(), 5);
    for share in [0.1, 0.5, 0.95, 1.0] {
        assert_eq!(read.quantile(share), trend.quantile(share));
    }
}

#[test]
fn columns_hold_every_observation_under_growing_bounds() {
    assert_eq!(Trend::new().columns(), []);
    let mut trend = Trend::new();
    for micros in [10, 11, 12, 13, 50, 3_000] {
        trend.record(Duration::from_micros(micros));
    }
    let columns = trend.columns();
    assert_eq!(columns[..2], [(10, 1), (12, 2)]);
    assert_eq!(columns.iter().map(|column| column.1).sum::<u64>(), 6);
    assert!(columns.windows(2).all(|pair| pair[0].0 < pair[1].0));
    assert!(columns.last().unwrap().0 >= 3_000);
}

#[test]
fn workers_add_up_and_readings_of_one_server_do_not() {
    let (mut left, mut right) = (Gauge::default(), Gauge::default());
    [5.0, 9.0].into_iter().for_each(|value| left.set(value));
    left.merge(&right);
    assert_eq!(left.last(), Some(9.0));
    [2.0, 1.0].into_iter().for_each(|value| right.set(value));
    left.merge(&right);
    let sum = Summary::Gauge {
        last: Some(10.0),
        min: Some(6.0),
        max: Some(11.0),
    };
    assert_eq!(left.summary(), sum);

    let (mut left, mut right) = (Reading::default(), Reading::default());
    [5.0, 9.0].into_iter().for_each(|value| left.set(value));
    [2.0, 1.0].into_iter().for_each(|value| right.set(value));
    left.merge(&right);
    let widest = Summary::Gauge {
        last: Some(9.0),
        min: Some(1.0),
        max: Some(9.0),
    };
    assert_eq!(left.summary(), widest);

    let mut rate = Rate::default();
    rate.add_many(3, 4);
    let mut other = Rate::default();
    other.add(false);
    rate.merge(&other);
    assert_eq!(
        rate.summary(),
        Summary::Rate {
            hits: 3,
            total: 5,
            rate: Some(0.6)
        }
    );
}

#[test]
fn gauges_keep_their_extremes_and_rates_their_quotient() {
    let mut gauge = Gauge::default();
    assert_eq!(
        gauge.summary(),
        Summary::Gauge {
            last: None,
            min: None,
            max: None
        }
    );
    for value in [3.0, 9.0, 4.0] {
        gauge.set(value);
    }
    assert_eq!(
        gauge.summary(),
        Summary::Gauge {
            last: Some(4.0),
            min: Some(3.0),
            max: Some(9.0)
        }
    );

    let mut rate = Rate::default();
    assert_eq!(
        rate.summary(),
        Summary::Rate {
            hits: 0,
            total: 0,
            rate: None
        }
    );
    for hit in [true, true, true, false] {
        rate.add(hit);
    }
    assert_eq!(
        rate.summary(),
        Summary::Rate {
            hits: 3,
            total: 4,
            rate: Some(0.75)
        }
    );

    let mut counter = Counter::default();
    counter.add(2);
    counter.add(3);
    assert_eq!(counter.summary(), Summary::Counter { count: 5 });
}
