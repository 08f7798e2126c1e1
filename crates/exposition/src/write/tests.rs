//! What `TextWriter` writes, byte for byte, and what it refuses.

use super::*;
use MetricType::{Counter, Gauge, GaugeHistogram, Histogram, Info, StateSet, Summary, Unknown};

fn write(format: Format, body: impl FnOnce(&mut TextWriter<'_>) -> Result<(), WriteError>) -> String {
    let mut out = Vec::new();
    let mut writer = TextWriter::new(format, &mut out);
    body(&mut writer).unwrap();
    writer.finish();
    String::from_utf8(out).unwrap()
}

fn check(body: impl Fn(&mut TextWriter<'_>) -> Result<(), WriteError>, text: &str, open_metrics: &str) {
    assert_eq!(write(Format::Text, &body), text);
    assert_eq!(write(Format::OpenMetrics, &body), format!("{open_metrics}# EOF\n"));
}

#[test]
fn nothing_is_an_exposition_too() {
    check(|_| Ok(()), "", "");
}

#[test]
fn counters_end_in_total_in_open_metrics() {
    check(
        |w| {
            w.family("cpu_seconds_total", Counter, "Time spent.")?;
            w.sample("", &[("cpu", "0"), ("mode", "idle")], 12.5)?;
            w.sample("", &[], 0.0)?;
            w.family("forks", Counter, "Forks.")?;
            w.sample("", &[], 1e6)
        },
        "# HELP cpu_seconds_total Time spent.\n# TYPE cpu_seconds_total counter\n\
         cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 12.5\ncpu_seconds_total 0\n\
         # HELP forks Forks.\n# TYPE forks counter\nforks 1e+06\n",
        "# HELP cpu_seconds Time spent.\n# TYPE cpu_seconds counter\n\
         cpu_seconds_total{cpu=\"0\",mode=\"idle\"} 12.5\ncpu_seconds_total 0\n\
         # HELP forks Forks.\n# TYPE forks counter\nforks_total 1e+06\n",
    );
}

#[test]
fn a_counter_whose_short_name_is_taken_keeps_its_own() {
    check(
        |w| {
            w.family("x", Gauge, "")?;
            w.sample("", &[], 1.0)?;
            w.family("x_total", Counter, "")?;
            w.sample("", &[], 2.0)
        },
        "# TYPE x gauge\nx 1\n# TYPE x_total counter\nx_total 2\n",
        "# TYPE x gauge\nx 1\n# TYPE x_total unknown\nx_total 2\n",
    );
    let mut out = Vec::new();
    let mut w = TextWriter::new(Format::OpenMetrics, &mut out);
    w.family("x_total", Counter, "").unwrap();
    assert_eq!(w.family("x", Gauge, ""), Err(WriteError::FamilyRepeated { name: "x".into() }));
}

#[test]
fn each_type_has_the_name_that_its_format_knows() {
    check(
        |w| {
            for (name, metric_type) in
                [("g", Gauge), ("u", Unknown), ("s", StateSet), ("build_info", Info), ("gh", GaugeHistogram)]
            {
                w.family(name, metric_type, "")?;
                w.sample(if metric_type == GaugeHistogram { "_gsum" } else { "" }, &[], 1.0)?;
            }
            Ok(())
        },
        "# TYPE g gauge\ng 1\n# TYPE u untyped\nu 1\n\
         # TYPE s gauge\ns 1\n# TYPE build_info gauge\nbuild_info 1\n\
         # TYPE gh untyped\ngh_gsum 1\n",
        "# TYPE g gauge\ng 1\n# TYPE u unknown\nu 1\n\
         # TYPE s stateset\ns 1\n# TYPE build info\nbuild_info 1\n\
         # TYPE gh gaugehistogram\ngh_gsum 1\n",
    );
}

#[test]
fn bounds_and_quantiles_are_floats_in_open_metrics() {
    check(
        |w| {
            w.family("h", Histogram, "H")?;
            w.sample("_bucket", &[("le", "1")], 2.0)?;
            w.sample("_bucket", &[("le", "+Inf")], 3.0)?;
            w.sample("_sum", &[], 0.5)?;
            w.sample("_count", &[], 3.0)?;
            w.family("q", Summary, "Q")?;
            w.sample("", &[("quantile", "0.5"), ("le", "1")], f64::NAN)
        },
        "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"1\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.5\n\
         h_count 3\n# HELP q Q\n# TYPE q summary\nq{quantile=\"0.5\",le=\"1\"} NaN\n",
        "# HELP h H\n# TYPE h histogram\nh_bucket{le=\"1.0\"} 2\nh_bucket{le=\"+Inf\"} 3\nh_sum 0.5\n\
         h_count 3\n# HELP q Q\n# TYPE q summary\nq{quantile=\"0.5\",le=\"1\"} NaN\n",
    );
}

#[test]
fn texts_are_escaped_and_unusual_names_are_quoted() {
    check(
        |w| {
            w.family("g", Gauge, "a \"b\" \\ c\nd")?;
            w.sample("", &[("path", "C:\\\"x\"\n"), ("ü", "ö")], -1.0)?;
            w.family("http.\"r\"_total", Counter, "R")?;
            w.sample("", &[], f64::INFINITY)?;
            w.sample("", &[("a.b", "c")], f64::NEG_INFINITY)
        },
        "# HELP g a \"b\" \\\\ c\\nd\n# TYPE g gauge\ng{path=\"C:\\\\\\\"x\\\"\\n\",\"ü\"=\"ö\"} -1\n\
         # HELP \"http.\\\"r\\\"_total\" R\n# TYPE \"http.\\\"r\\\"_total\" counter\n\
         {\"http.\\\"r\\\"_total\"} +Inf\n{\"http.\\\"r\\\"_total\",\"a.b\"=\"c\"} -Inf\n",
        "# HELP g a \\\"b\\\" \\\\ c\\nd\n# TYPE g gauge\ng{path=\"C:\\\\\\\"x\\\"\\n\",\"ü\"=\"ö\"} -1\n\
         # HELP \"http.\\\"r\\\"\" R\n# TYPE \"http.\\\"r\\\"\" counter\n\
         {\"http.\\\"r\\\"_total\"} +Inf\n{\"http.\\\"r\\\"_total\",\"a.b\"=\"c\"} -Inf\n",
    );
}

#[test]
fn times_are_milliseconds_or_seconds() {
    check(
        |w| {
            w.family("g", Gauge, "")?;
            w.sample_at("", &[], 1.0, TimestampMs::new(1_700_000_000_007))?;
            w.sample_at("", &[], 1.0, TimestampMs::new(-1))
        },
        "# TYPE g gauge\ng 1 1700000000007\ng 1 -1\n",
        "# TYPE g gauge\ng 1 1700000000.007\ng 1 -0.001\n",
    );
}

#[test]
fn a_family_without_samples_leaves_nothing() {
    check(
        |w| {
            w.family("a", Gauge, "A")?;
            w.family("b", Gauge, "B")?;
            w.sample("", &[], 1.0)?;
            w.family("c", Gauge, "C")
        },
        "# HELP b B\n# TYPE b gauge\nb 1\n",
        "# HELP b B\n# TYPE b gauge\nb 1\n",
    );
}

#[test]
fn what_does_not_belong_is_refused_and_not_written() {
    let mut out = b"before\n".to_vec();
    let mut w = TextWriter::new(Format::Text, &mut out);
    assert_eq!(w.sample("", &[], 1.0), Err(WriteError::NoFamily { suffix: String::new() }));
    assert_eq!(w.family("", Gauge, ""), Err(WriteError::EmptyName { what: "metric", family: String::new() }));
    w.family("h", Histogram, "").unwrap();
    for suffix in ["", "_total", "bucket"] {
        let error = w.sample(suffix, &[], 1.0).unwrap_err();
        assert!(matches!(error, WriteError::ForeignSuffix { .. }), "{error}");
    }
    let error = w.sample("_sum", &[("a", "b"), ("", "c")], 1.0).unwrap_err();
    assert_eq!(error, WriteError::EmptyName { what: "label", family: "h".into() });
    w.family("g", Gauge, "").unwrap();
    assert_eq!(w.family("h", Gauge, ""), Err(WriteError::FamilyRepeated { name: "h".into() }));
    assert_eq!(w.sample("", &[], 1.0), Err(WriteError::NoFamily { suffix: String::new() }));
    w.finish();
    assert_eq!(out, b"before\n");
}

#[test]
fn a_page_taken_in_parts_is_the_page() {
    for format in [Format::Text, Format::OpenMetrics] {
        let body = |w: &mut TextWriter<'_>, parts: &mut Vec<u8>, takes: bool| {
            for family in ["a", "empty", "b"] {
                w.family(family, MetricType::Gauge, "help").unwrap();
                for value in [1.0, 2.0] {
                    if takes {
                        parts.extend(w.take());
                    }
                    if family != "empty" {
                        w.sample("", &[("l", "v")], value).unwrap();
                    }
                }
            }
        };
        let [whole, parts] = [false, true].map(|takes| {
            let (mut out, mut taken) = (Vec::new(), Vec::new());
            let mut writer = TextWriter::new(format, &mut out);
            body(&mut writer, &mut taken, takes);
            writer.finish();
            taken.extend(out);
            String::from_utf8(taken).unwrap()
        });
        assert_eq!(parts, whole);
        assert!(!whole.contains("empty"), "{whole}");
    }
}

#[test]
fn prepared_labels_stand_in_front_and_read_as_if_written_each_time() {
    let labels = [("id", "/a \"b\""), ("a.b", "x\ny")];
    let prepared = PreparedLabels::new(labels.into_iter().chain([("", "nameless")]));
    for format in [Format::Text, Format::OpenMetrics] {
        for name in ["x", "x.y"] {
            for more in [&[][..], &[("cpu", "total")]] {
                let plain = write(format, |w| {
                    w.family(name, Gauge, "")?;
                    w.sample("", &[&labels[..], more].concat(), 1.0)
                });
                let fast = write(format, |w| {
                    w.family(name, Gauge, "")?;
                    w.sample_prepared(&prepared, more, 1.0)
                });
                assert_eq!(fast, plain);
            }
        }
    }
    let none = write(Format::Text, |w| {
        w.family("x", Gauge, "")?;
        w.sample_prepared(&PreparedLabels::default(), &[], 1.0)
    });
    assert_eq!(none, "# TYPE x gauge\nx 1\n");
}
