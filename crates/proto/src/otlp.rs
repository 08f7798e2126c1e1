//! Metrics of OpenTelemetry (`ExportMetricsServiceRequest`) from protocol buffers and from JSON, as one and
//! the same. Translates nothing.

mod json;

pub use json::read_json;

use crate::wire::{Fields, Value, WireError};
use base64::{Engine as _, engine::general_purpose::STANDARD};

/// Names and values; what is no text is written as one.
pub type Attributes = Vec<(String, String)>;

/// What one resource says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Resource {
    /// What it is.
    pub attributes: Attributes,
    /// Its metrics, of all scopes.
    pub metrics: Vec<Metric>,
    /// What measured them.
    pub scopes: Vec<Scope>,
}

/// A library that measures.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Scope {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// What else it is.
    pub attributes: Attributes,
    /// Where the names that it uses are explained.
    pub schema_url: String,
}

/// A metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// What it means.
    pub description: String,
    /// In the notation of UCUM.
    pub unit: String,
    /// Its points.
    pub data: Data,
    /// Which of the scopes of its resource it is of.
    pub scope: usize,
}

/// The points of a metric.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Data {
    /// None that are known.
    #[default]
    Unknown,
    /// Numbers that go up and down.
    Gauge(Vec<Number>),
    /// Numbers that are added up.
    Sum(Vec<Number>, Added),
    /// Observations in buckets of explicit bounds.
    Histogram(Vec<Histogram>, Added),
    /// Observations in exponential buckets.
    Exponential(Vec<Exponential>, Added),
    /// Quantiles.
    Summary(Vec<Summary>),
}

/// How values are added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Added {
    /// 1: since the point before; 2: since the start.
    pub temporality: u64,
    /// They never sink.
    pub is_monotonic: bool,
}

/// What all points have.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Point {
    /// What tells it from others.
    pub attributes: Attributes,
    /// When it was, in nanoseconds.
    pub time_ns: u64,
    /// Bit 0: there is no value, the series ends.
    pub flags: u64,
    /// Observations picked out.
    pub exemplars: Vec<Exemplar>,
}

/// A number.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Number {
    /// When and of what.
    pub point: Point,
    /// The number.
    pub value: f64,
}

/// Observations in buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Histogram {
    /// When and of what.
    pub point: Point,
    /// All of them.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// Upper bounds of the buckets, but for the last.
    pub bounds: Vec<f64>,
    /// How many are in each.
    pub counts: Vec<u64>,
}

/// Observations in exponential buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exponential {
    /// When and of what.
    pub point: Point,
    /// All of them.
    pub count: u64,
    /// Their sum.
    pub sum: Option<f64>,
    /// The resolution.
    pub scale: i64,
    /// How many are near zero, and what near is.
    pub zero_count: u64,
    /// See `zero_count`.
    pub zero_threshold: f64,
    /// Positive ones.
    pub positive: Buckets,
    /// Negative ones.
    pub negative: Buckets,
}

/// A run of buckets.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Buckets {
    /// The index of the first.
    pub offset: i64,
    /// How many are in each.
    pub counts: Vec<u64>,
}

/// Quantiles.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// When and of what.
    pub point: Point,
    /// All observations.
    pub count: u64,
    /// Their sum.
    pub sum: f64,
    /// Quantiles and values.
    pub quantiles: Vec<(f64, f64)>,
}

/// An observation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Exemplar {
    /// What leads to its trace, in hexadecimal digits, and more.
    pub attributes: Attributes,
    /// When it was.
    pub time_ns: u64,
    /// What was observed.
    pub value: f64,
}

/// Reads a request of protocol buffers.
///
/// # Errors
/// When it is none.
pub fn read(request: &[u8]) -> Result<Vec<Resource>, WireError> {
    let mut all = Vec::new();
    each(request, |number, value| {
        if number == 1 {
            all.push(resource(value.bytes()?)?);
        }
        Ok(())
    })?;
    Ok(all)
}

fn each<'a>(
    message: &'a [u8],
    mut see: impl FnMut(u32, Value<'a>) -> Result<(), WireError>,
) -> Result<(), WireError> {
    let mut fields = Fields::of(message);
    while let Some((number, value)) = fields.next_field()? {
        see(number, value)?;
    }
    Ok(())
}

fn scope(message: &[u8], out: &mut Scope) -> Result<(), WireError> {
    each(message, |number, value| {
        match number {
            1 => out.name = value.text()?.to_owned(),
            2 => out.version = value.text()?.to_owned(),
            3 => out.attributes.push(attribute(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    })
}

fn resource(message: &[u8]) -> Result<Resource, WireError> {
    let mut out = Resource::default();
    each(message, |number, value| {
        match number {
            1 => each(value.bytes()?, |number, value| {
                if number == 1 {
                    out.attributes.push(attribute(value.bytes()?)?);
                }
                Ok(())
            })?,
            2 => {
                let (at, mut of) = (out.scopes.len(), Scope::default());
                each(value.bytes()?, |number, value| {
                    match number {
                        1 => scope(value.bytes()?, &mut of)?,
                        2 => out.metrics.push(Metric { scope: at, ..metric(value.bytes()?)? }),
                        3 => of.schema_url = value.text()?.to_owned(),
                        _ => {}
                    }
                    Ok(())
                })?;
                out.scopes.push(of);
            }
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn metric(message: &[u8]) -> Result<Metric, WireError> {
    let mut out = Metric::default();
    each(message, |number, value| {
        match number {
            1 => value.text()?.clone_into(&mut out.name),
            2 => value.text()?.clone_into(&mut out.description),
            3 => value.text()?.clone_into(&mut out.unit),
            5 => out.data = Data::Gauge(points(value.bytes()?, self::number)?.0),
            7 => {
                let (points, added) = points(value.bytes()?, self::number)?;
                out.data = Data::Sum(points, added);
            }
            9 => {
                let (points, added) = points(value.bytes()?, histogram)?;
                out.data = Data::Histogram(points, added);
            }
            10 => {
                let (points, added) = points(value.bytes()?, exponential)?;
                out.data = Data::Exponential(points, added);
            }
            11 => out.data = Data::Summary(points(value.bytes()?, summary)?.0),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn points<T>(
    message: &[u8],
    read: impl Fn(&[u8]) -> Result<T, WireError>,
) -> Result<(Vec<T>, Added), WireError> {
    let (mut points, mut added) = (Vec::new(), Added::default());
    each(message, |number, value| {
        match number {
            1 => points.push(read(value.bytes()?)?),
            2 => added.temporality = value.uint()?,
            3 => added.is_monotonic = value.uint()? != 0,
            _ => {}
        }
        Ok(())
    })?;
    Ok((points, added))
}

fn number(message: &[u8]) -> Result<Number, WireError> {
    let mut out = Number::default();
    each(message, |number, value| {
        match number {
            3 => out.point.time_ns = value.fixed64()?,
            4 => out.value = value.double()?,
            5 => out.point.exemplars.push(exemplar(value.bytes()?)?),
            6 => out.value = value.fixed64()? as i64 as f64,
            7 => out.point.attributes.push(attribute(value.bytes()?)?),
            8 => out.point.flags = value.uint()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn histogram(message: &[u8]) -> Result<Histogram, WireError> {
    let mut out = Histogram::default();
    each(message, |number, value| {
        match number {
            3 => out.point.time_ns = value.fixed64()?,
            4 => out.count = value.fixed64()?,
            5 => out.sum = Some(value.double()?),
            6 => value.push_fixed64s(&mut out.counts, |n| n)?,
            7 => value.push_fixed64s(&mut out.bounds, f64::from_bits)?,
            8 => out.point.exemplars.push(exemplar(value.bytes()?)?),
            9 => out.point.attributes.push(attribute(value.bytes()?)?),
            10 => out.point.flags = value.uint()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exponential(message: &[u8]) -> Result<Exponential, WireError> {
    let mut out = Exponential::default();
    each(message, |number, value| {
        match number {
            1 => out.point.attributes.push(attribute(value.bytes()?)?),
            3 => out.point.time_ns = value.fixed64()?,
            4 => out.count = value.fixed64()?,
            5 => out.sum = Some(value.double()?),
            6 => out.scale = value.sint()?,
            7 => out.zero_count = value.fixed64()?,
            8 => out.positive = buckets(value.bytes()?)?,
            9 => out.negative = buckets(value.bytes()?)?,
            10 => out.point.flags = value.uint()?,
            11 => out.point.exemplars.push(exemplar(value.bytes()?)?),
            14 => out.zero_threshold = value.double()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn buckets(message: &[u8]) -> Result<Buckets, WireError> {
    let mut out = Buckets::default();
    each(message, |number, value| {
        match number {
            1 => out.offset = value.sint()?,
            2 => value.uints::<WireError>(|n| {
                out.counts.push(n);
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn summary(message: &[u8]) -> Result<Summary, WireError> {
    let mut out = Summary::default();
    each(message, |number, value| {
        match number {
            3 => out.point.time_ns = value.fixed64()?,
            4 => out.count = value.fixed64()?,
            5 => out.sum = value.double()?,
            6 => {
                let mut pair = (0.0, 0.0);
                each(value.bytes()?, |number, value| {
                    match number {
                        1 => pair.0 = value.double()?,
                        2 => pair.1 = value.double()?,
                        _ => {}
                    }
                    Ok(())
                })?;
                out.quantiles.push(pair);
            }
            7 => out.point.attributes.push(attribute(value.bytes()?)?),
            8 => out.point.flags = value.uint()?,
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn exemplar(message: &[u8]) -> Result<Exemplar, WireError> {
    let mut out = Exemplar::default();
    each(message, |number, value| {
        match number {
            2 => out.time_ns = value.fixed64()?,
            3 => out.value = value.double()?,
            4 => out.attributes.push(("span_id".to_owned(), hexadecimal(value.bytes()?))),
            5 => out.attributes.push(("trace_id".to_owned(), hexadecimal(value.bytes()?))),
            6 => out.value = value.fixed64()? as i64 as f64,
            7 => out.attributes.push(attribute(value.bytes()?)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn attribute(message: &[u8]) -> Result<(String, String), WireError> {
    let mut out = (String::new(), String::new());
    each(message, |number, value| {
        match number {
            1 => value.text()?.clone_into(&mut out.0),
            2 => out.1 = text_of(&any(value.bytes()?, NESTED_MAX)?),
            _ => {}
        }
        Ok(())
    })?;
    Ok(out)
}

/// Values may stand in values this deep.
const NESTED_MAX: usize = 16;

/// A value of an attribute.
fn any(message: &[u8], deeper: usize) -> Result<serde_json::Value, WireError> {
    use serde_json::Value as Json;
    let deeper = deeper.checked_sub(1).ok_or(WireError::new("values are nested too deep"))?;
    let mut out = Json::Null;
    each(message, |number, value| {
        out = match number {
            1 => Json::from(value.text()?),
            2 => Json::from(value.uint()? != 0),
            3 => Json::from(value.int()?),
            4 => Json::from(value.double()?),
            5 => {
                let mut all = Vec::new();
                each(value.bytes()?, |number, value| {
                    if number == 1 {
                        all.push(any(value.bytes()?, deeper)?);
                    }
                    Ok(())
                })?;
                Json::from(all)
            }
            6 => {
                let mut all = serde_json::Map::new();
                each(value.bytes()?, |_, pair| {
                    let (mut name, mut of) = (String::new(), Json::Null);
                    each(pair.bytes()?, |number, value| {
                        match number {
                            1 => value.text()?.clone_into(&mut name),
                            2 => of = any(value.bytes()?, deeper)?,
                            _ => {}
                        }
                        Ok(())
                    })?;
                    all.insert(name, of);
                    Ok(())
                })?;
                Json::from(all)
            }
            // As in JSON, and as Prometheus has them in labels.
            7 => Json::from(STANDARD.encode(value.bytes()?)),
            _ => return Ok(()),
        };
        Ok(())
    })?;
    Ok(out)
}

/// A value as the text of a label.
fn text_of(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_base64_in_both_forms() {
        let value = [&[0x3a, 2][..], &[0xff, 0x00]].concat();
        let pair = [&[0x0a, 1, b'k', 0x12, 4][..], &value].concat();
        let attributes = [&[0x0a, pair.len() as u8][..], &pair].concat();
        let resource = [&[0x0a, attributes.len() as u8][..], &attributes].concat();
        let request = [&[0x0a, resource.len() as u8][..], &resource].concat();
        let json = r#"{"resourceMetrics":[{"resource":{"attributes":[
            {"key":"k","value":{"bytesValue":"/wA="}}]}}]}"#;
        let (written, spelt) = (read(&request).unwrap(), read_json(json.as_bytes()).unwrap());
        assert_eq!(written[0].attributes, [("k".to_owned(), "/wA=".to_owned())]);
        assert_eq!(spelt[0].attributes, written[0].attributes);
    }
}
