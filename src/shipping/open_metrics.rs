//! Our own metrics text as messages of the OpenTelemetry protocol. Pure. It reads what `crate::metrics` writes, so that both
//! ways out tell the same numbers; what it does not understand it leaves out.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

use super::spans::text;

/// The time that all points are of, and when counting began; in nanoseconds since the epoch.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub start: u64,
    pub now: u64,
}

/// One line of the text: `name{label="value"} 1`.
struct Sample<'a> {
    name: &'a str,
    labels: Vec<(&'a str, String)>,
    value: f64,
}

/// The metrics of a scrape.
pub fn read(scrape: &str, span: Span) -> Vec<Metric> {
    let mut metrics = Vec::new();
    let mut family: Option<(&str, &str, Vec<Sample<'_>>)> = None;
    for line in scrape.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            metrics.extend(family.take().and_then(|(name, kind, samples)| build(name, kind, samples, span)));
            family = rest.split_once(' ').map(|(name, kind)| (name, kind, Vec::new()));
        } else if !line.starts_with('#')
            && let Some((_, _, samples)) = &mut family
        {
            samples.extend(sample(line));
        }
    }
    metrics.extend(family.and_then(|(name, kind, samples)| build(name, kind, samples, span)));
    metrics
}

fn sample(line: &str) -> Option<Sample<'_>> {
    let (series, value) = line.rsplit_once(' ')?;
    let value = value.parse().ok()?;
    let Some((name, rest)) = series.split_once('{') else {
        return Some(Sample { name: series, labels: Vec::new(), value });
    };
    Some(Sample { name, labels: labels(rest.strip_suffix('}')?), value })
}

/// `a="1",b="x\"y"`; a quote, a backslash and a line feed are escaped.
fn labels(mut text: &str) -> Vec<(&str, String)> {
    let mut labels = Vec::new();
    while let Some((name, rest)) = text.split_once("=\"") {
        let mut value = String::new();
        let mut characters = rest.char_indices();
        let mut end = rest.len();
        while let Some((at, character)) = characters.next() {
            match character {
                '"' => {
                    end = at + 1;
                    break;
                }
                '\\' => value.extend(characters.next().map(|(_, c)| if c == 'n' { '\n' } else { c })),
                other => value.push(other),
            }
        }
        labels.push((name, value));
        text = rest[end..].trim_start_matches(',');
    }
    labels
}

fn build(name: &str, kind: &str, samples: Vec<Sample<'_>>, span: Span) -> Option<Metric> {
    let data = match kind {
        "counter" => Data::Sum(Sum {
            data_points: samples.iter().map(|sample| point(sample, span)).collect(),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
            is_monotonic: true,
        }),
        "gauge" => {
            Data::Gauge(Gauge { data_points: samples.iter().map(|sample| point(sample, span)).collect() })
        }
        "histogram" => Data::Histogram(Histogram {
            data_points: histogram_points(name, samples, span),
            aggregation_temporality: AggregationTemporality::Cumulative.into(),
        }),
        _ => return None,
    };
    Some(Metric { name: name.to_owned(), data: Some(data), ..Metric::default() })
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    labels.iter().filter(|(_, value)| !value.is_empty()).map(|(name, value)| text(name, value)).collect()
}

fn point(sample: &Sample<'_>, span: Span) -> NumberDataPoint {
    NumberDataPoint {
        attributes: attributes(&sample.labels),
        start_time_unix_nano: span.start,
        time_unix_nano: span.now,
        value: Some(Number::AsDouble(sample.value)),
        ..NumberDataPoint::default()
    }
}

/// Points by their labels, without the bound of the bucket.
fn histogram_points(name: &str, samples: Vec<Sample<'_>>, span: Span) -> Vec<HistogramDataPoint> {
    let mut points: BTreeMap<String, HistogramDataPoint> = BTreeMap::new();
    for sample in samples {
        let (bounds, labels): (Vec<_>, Vec<_>) =
            sample.labels.iter().cloned().partition(|(name, _)| *name == "le");
        let point = points.entry(format!("{labels:?}")).or_insert_with(|| HistogramDataPoint {
            attributes: attributes(&labels),
            start_time_unix_nano: span.start,
            time_unix_nano: span.now,
            ..HistogramDataPoint::default()
        });
        match sample.name.strip_prefix(name) {
            Some("_sum") => point.sum = Some(sample.value),
            Some("_count") => point.count = sample.value as u64,
            Some("_bucket") => {
                // The text counts everything up to the bound, the protocol what is between two bounds.
                let below: u64 = point.bucket_counts.iter().sum();
                point.bucket_counts.push((sample.value as u64).saturating_sub(below));
                let bound = bounds.first().and_then(|(_, bound)| bound.parse::<f64>().ok());
                point.explicit_bounds.extend(bound.filter(|bound| bound.is_finite()));
            }
            _ => {}
        }
    }
    points.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRAPE: &str = r#"# HELP calls Calls.
# TYPE calls counter
calls_total{provider="acme",note="a\"b,c\\\n"} 3
calls_total{provider="",note="x"} 1
# TYPE memory gauge
memory 12.5
# TYPE took_seconds histogram
took_seconds_sum{route="/a"} 0.75
took_seconds_count{route="/a"} 3
took_seconds_bucket{le="0.1",route="/a"} 1
took_seconds_bucket{le="0.5",route="/a"} 3
took_seconds_bucket{le="+Inf",route="/a"} 3
# EOF
"#;

    #[test]
    fn the_text_becomes_sums_gauges_and_histograms() {
        let metrics = read(SCRAPE, Span { start: 1, now: 2 });
        let names: Vec<&str> = metrics.iter().map(|metric| metric.name.as_str()).collect();
        assert_eq!(names, ["calls", "memory", "took_seconds"]);
        let Some(Data::Sum(sum)) = &metrics[0].data else { panic!("a sum") };
        assert!(sum.is_monotonic && sum.data_points.len() == 2);
        assert_eq!(sum.data_points[0].attributes, [text("provider", "acme"), text("note", "a\"b,c\\\n")]);
        assert_eq!(sum.data_points[1].attributes, [text("note", "x")]);
        let Some(Data::Gauge(gauge)) = &metrics[1].data else { panic!("a gauge") };
        assert_eq!(gauge.data_points[0].value, Some(Number::AsDouble(12.5)));
        let Some(Data::Histogram(histogram)) = &metrics[2].data else { panic!("a histogram") };
        let point = &histogram.data_points[0];
        assert_eq!((point.count, point.sum), (3, Some(0.75)));
        assert_eq!(
            (point.explicit_bounds.clone(), point.bucket_counts.clone()),
            (vec![0.1, 0.5], vec![1, 2, 0])
        );
    }
}
