//! Numbers: 53-bit integers today, anything that Python's `json` writes in room versions 1 to 5.

use super::{Error, Value};

/// The largest integer of canonical JSON, 2^53 - 1.
pub const MAX_INTEGER: i64 = (1 << 53) - 1;
/// The smallest integer of canonical JSON, -(2^53) + 1.
pub const MIN_INTEGER: i64 = -MAX_INTEGER;

/// Which numbers are accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Numbers {
    /// Room version 6 and later: integers of 53 bits, written as such. `-0` is read as 0, as the network's servers do.
    Strict,
    /// As strict, but an integer may be spelled with a fraction or exponent (`1e10`), as in the specification's examples.
    /// For JSON that is signed but is no event.
    Lenient,
    /// Room versions 1 to 5: integers of any size, and floats, which are written as Python's `repr` writes them, because
    /// that is what these events were hashed with.
    Legacy,
}

impl Numbers {
    /// Reads one number token, which is already known to follow JSON's grammar.
    pub(super) fn read(self, token: &str, at: usize) -> Result<Value, Error> {
        let integral = !token.contains(['.', 'e', 'E']);
        match self {
            Self::Strict if !integral => Err(Error::BadJson { at, why: "numbers must be integers" }),
            Self::Strict | Self::Lenient if integral => match token.parse::<i64>() {
                Ok(integer) if (MIN_INTEGER..=MAX_INTEGER).contains(&integer) => Ok(Value::Integer(integer)),
                _ => Err(Error::BadJson { at, why: OUT_OF_RANGE }),
            },
            Self::Strict | Self::Lenient => {
                let float: f64 = token.parse().unwrap_or(f64::NAN);
                if float.fract() != 0.0 {
                    return Err(Error::BadJson { at, why: "numbers must be integers" });
                }
                if float.abs() > MAX_INTEGER as f64 {
                    return Err(Error::BadJson { at, why: OUT_OF_RANGE });
                }
                Ok(Value::Integer(float as i64))
            }
            Self::Legacy if integral => Ok(match token.parse::<i64>() {
                Ok(integer) => Value::Integer(integer),
                Err(_) => Value::Number(token.into()),
            }),
            Self::Legacy => {
                let float: f64 = token.parse().unwrap_or(f64::NAN);
                if !float.is_finite() {
                    return Err(Error::BadJson { at, why: "numbers must fit into a double" });
                }
                Ok(Value::Number(python_repr(float).into()))
            }
        }
    }

    /// Whether a number that was built in code, not parsed, is acceptable.
    pub(super) fn accepts(self, integer: i64) -> bool {
        self == Self::Legacy || (MIN_INTEGER..=MAX_INTEGER).contains(&integer)
    }
}

pub(super) const OUT_OF_RANGE: &str = "integers must lie between -(2^53) + 1 and 2^53 - 1";

/// A float as Python's `repr` writes it: Rust's shortest digits and thresholds are the same, its exponents are not.
fn python_repr(float: f64) -> String {
    let text = format!("{float:?}");
    match text.split_once('e') {
        None => text,
        Some((digits, exponent)) => match exponent.strip_prefix('-') {
            Some(exponent) => format!("{digits}e-{exponent:0>2}"),
            None => format!("{digits}e+{exponent:0>2}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_python_writes_them() {
        let cases = [
            (50.57, "50.57"),
            (1e10, "10000000000.0"),
            (1e16, "1e+16"),
            (1.5e300, "1.5e+300"),
            (0.00001, "1e-05"),
            (0.0001, "0.0001"),
            (-0.0, "-0.0"),
            (1.25e-9, "1.25e-09"),
        ];
        for (float, python) in cases {
            assert_eq!(python_repr(float), python);
        }
    }
}
