//! From numbers to the families of one scrape.
//!
//! Names, types and help texts come from the catalogue alone, so that a value cannot be exported
//! under a name that is not documented.

use dormouse_shard::counters::Histogram;
use prometheus::proto::{self, LabelPair, MetricFamily, MetricType};

use super::definition::{Kind, Metric, Unit};

/// The families of one scrape.
#[derive(Debug, Default)]
pub struct Families(Vec<MetricFamily>);

impl Families {
    /// Exports the one value of a counter or gauge without labels.
    pub fn value(&mut self, metric: &Metric, value: f64) {
        self.values(metric, [([], value)]);
    }

    /// As [`Self::value`], for a count.
    pub fn count(&mut self, metric: &Metric, count: u64) {
        self.value(metric, count as f64);
    }

    /// Exports a counter or gauge with labels: their values in the order of [`Metric::labels`],
    /// no combination twice.
    pub fn values<'a, const LABELS: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'a str; LABELS], f64)>,
    ) {
        debug_assert_eq!(metric.labels.len(), LABELS, "{}", metric.name);
        let samples = samples.into_iter().map(|(labels, value)| {
            let pairs = metric.labels.iter().zip(labels);
            let mut sample =
                proto::Metric::from_label(pairs.map(|(name, value)| pair(name, value)).collect());
            if metric.kind == Kind::Counter {
                let mut counter = proto::Counter::default();
                counter.set_value(value);
                sample.set_counter(counter);
            } else {
                let mut gauge = proto::Gauge::default();
                gauge.set_value(value);
                sample.set_gauge(gauge);
            }
            sample
        });
        let samples = samples.collect();
        self.family(metric, samples);
    }

    /// As [`Self::values`], for counts.
    pub fn counts<'a, const LABELS: usize>(
        &mut self,
        metric: &Metric,
        samples: impl IntoIterator<Item = ([&'a str; LABELS], u64)>,
    ) {
        let samples = samples.into_iter();
        self.values(
            metric,
            samples.map(|(labels, count)| (labels, count as f64)),
        );
    }

    /// As [`Self::counts`], for a metric with one label of a closed set and a count for each value.
    pub fn by_label<const VALUES: usize>(
        &mut self,
        metric: &Metric,
        values: [&str; VALUES],
        counts: [u64; VALUES],
    ) {
        let samples = values.into_iter().zip(counts);
        self.counts(metric, samples.map(|(value, count)| ([value], count)));
    }

    /// Exports a histogram of durations in the metric's unit.
    pub fn histogram(&mut self, metric: &Metric, histogram: &Histogram) {
        self.histograms(metric, [([], histogram)]);
    }

    /// As [`Self::histogram`], with labels as for [`Self::values`].
    pub fn histograms<'a, const LABELS: usize>(
        &mut self,
        metric: &Metric,
        histograms: impl IntoIterator<Item = ([&'a str; LABELS], &'a Histogram)>,
    ) {
        debug_assert_eq!(metric.labels.len(), LABELS, "{}", metric.name);
        debug_assert!(matches!(metric.unit, Unit::Milliseconds | Unit::Seconds));
        let samples = histograms.into_iter().map(|(labels, histogram)| {
            let pairs = metric.labels.iter().zip(labels);
            let pairs = pairs.map(|(name, value)| pair(name, value)).collect();
            let mut sample = proto::Metric::from_label(pairs);
            sample.set_histogram(exported(metric, histogram));
            sample
        });
        let samples = samples.collect();
        self.family(metric, samples);
    }

    /// Takes over families that the library counted itself.
    pub fn extend(&mut self, families: Vec<MetricFamily>) {
        // The encoder refuses families without a sample.
        let families = families.into_iter();
        self.0
            .extend(families.filter(|family| !family.get_metric().is_empty()));
    }

    /// All families, by name.
    pub fn sorted(mut self) -> Vec<MetricFamily> {
        self.0.sort_by(|a, b| a.name().cmp(b.name()));
        self.0
    }

    fn family(&mut self, metric: &Metric, samples: Vec<proto::Metric>) {
        if samples.is_empty() {
            return;
        }
        let mut family = MetricFamily::default();
        family.set_name(metric.name.to_owned());
        family.set_help(metric.help.to_owned());
        family.set_field_type(match metric.kind {
            Kind::Counter => MetricType::COUNTER,
            Kind::Gauge => MetricType::GAUGE,
            Kind::Histogram => MetricType::HISTOGRAM,
        });
        family.set_metric(samples);
        self.0.push(family);
    }
}

fn pair(name: &str, value: &str) -> LabelPair {
    let mut pair = LabelPair::default();
    pair.set_name(name.to_owned());
    pair.set_value(value.to_owned());
    pair
}

/// A histogram in the metric's unit.
fn exported(metric: &Metric, histogram: &Histogram) -> proto::Histogram {
    let micros = metric.unit.micros();
    let mut cumulative = 0;
    let buckets = Histogram::BOUNDS_US.iter().zip(histogram.counts());
    let buckets = buckets.map(|(bound, count)| {
        cumulative += count;
        let mut bucket = proto::Bucket::default();
        bucket.set_upper_bound(*bound as f64 / micros);
        bucket.set_cumulative_count(cumulative);
        bucket
    });
    let mut exported = proto::Histogram::default();
    exported.set_bucket(buckets.collect());
    exported.set_sample_count(histogram.total());
    exported.set_sample_sum(histogram.sum_us() as f64 / micros);
    exported
}
