//! The parser: bytes to a value in one pass, with the protocol's limits built in.

use super::{Error, Numbers, Object, Value};

/// How deep arrays and objects may nest: about as deep as the reference server takes them, so that no event of the network
/// is refused for it. What clients send is bounded far below where it comes in.
pub const MAX_DEPTH: usize = 1000;

pub(super) const TOO_DEEP: &str = "arrays and objects are nested too deep";

/// Reads one JSON value.
///
/// # Errors
/// [`Error::NotJson`] where the bytes are no UTF-8 or no JSON; [`Error::BadJson`] for numbers that `numbers` refuses, lone
/// surrogates in escapes (they have no UTF-8 form, so nothing could be hashed) and nesting beyond [`MAX_DEPTH`].
pub fn parse(bytes: &[u8], numbers: Numbers) -> Result<Value, Error> {
    parse_without(bytes, numbers, None)
}

fn parse_without(bytes: &[u8], numbers: Numbers, left_out: Option<&str>) -> Result<Value, Error> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Error::NotJson { at: error.valid_up_to(), why: "the text is not UTF-8" })?;
    let mut parser = Parser { text, at: 0, numbers, left_out };
    parser.skip_space();
    let value = parser.value()?;
    parser.skip_space();
    match parser.peek() {
        None => Ok(value),
        Some(_) => Err(parser.not_json("nothing may follow the value")),
    }
}

/// Reads one JSON object.
///
/// # Errors
/// As [`parse`]; [`Error::BadJson`] for another kind of value.
pub fn parse_object(bytes: &[u8], numbers: Numbers) -> Result<Object, Error> {
    object(parse(bytes, numbers)?)
}

/// Reads one JSON object without its top-level key `left_out`: whatever stands there, the rest is what counts.
///
/// # Errors
/// As [`parse_object`], for all the rest.
pub fn parse_object_without(bytes: &[u8], numbers: Numbers, left_out: &str) -> Result<Object, Error> {
    object(parse_without(bytes, numbers, Some(left_out))?)
}

fn object(value: Value) -> Result<Object, Error> {
    match value {
        Value::Object(object) => Ok(object),
        _ => Err(Error::BadJson { at: 0, why: "an object is expected" }),
    }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
    numbers: Numbers,
    /// The top-level key whose value is passed over.
    left_out: Option<&'a str>,
}

/// An array or object that is not complete yet. They lie in a list: a thousand calls in each other would need more stack
/// than a thread may have.
enum Open {
    Array(Vec<Value>),
    /// With the key whose value comes next.
    Object(Vec<(Box<str>, Value)>, Box<str>),
}

impl<'a> Parser<'a> {
    fn value(&mut self) -> Result<Value, Error> {
        let mut open: Vec<Open> = Vec::new();
        loop {
            let value = if self.passes_over(&open) {
                self.skip_value()?;
                None
            } else {
                match self.begin(&mut open)? {
                    Some(value) => Some(value),
                    None => continue,
                }
            };
            if let Some(whole) = self.complete(&mut open, value)? {
                return Ok(whole);
            }
        }
    }

    /// Reads a value that holds no other; of one that does, the beginning.
    fn begin(&mut self, open: &mut Vec<Open>) -> Result<Option<Value>, Error> {
        Ok(Some(match self.peek() {
            Some(b'"') => Value::String(self.string()?),
            Some(b'{') => {
                self.enter(open)?;
                if !self.take(b'}') {
                    let key = self.key()?;
                    open.push(Open::Object(Vec::new(), key));
                    return Ok(None);
                }
                Value::Object(Object::new())
            }
            Some(b'[') => {
                self.enter(open)?;
                if !self.take(b']') {
                    open.push(Open::Array(Vec::new()));
                    return Ok(None);
                }
                Value::Array(Vec::new())
            }
            Some(b't') => self.literal("true", Value::Bool(true))?,
            Some(b'f') => self.literal("false", Value::Bool(false))?,
            Some(b'n') => self.literal("null", Value::Null)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            Some(_) => return Err(self.not_json("a value is expected")),
            None => return Err(self.not_json("the text ends where a value is expected")),
        }))
    }

    /// Puts a value where it belongs, and so on outwards while that completes what holds it. The outermost is returned.
    fn complete(&mut self, open: &mut Vec<Open>, mut value: Option<Value>) -> Result<Option<Value>, Error> {
        loop {
            value = match open.pop() {
                None => return Ok(value),
                Some(Open::Array(mut items)) => {
                    items.extend(value);
                    self.skip_space();
                    if !self.take(b']') {
                        self.comma("a comma or the end of the array is expected")?;
                        open.push(Open::Array(items));
                        return Ok(None);
                    }
                    Some(Value::Array(items))
                }
                Some(Open::Object(mut entries, key)) => {
                    entries.extend(value.map(|value| (key, value)));
                    self.skip_space();
                    if !self.take(b'}') {
                        self.comma("a comma or the end of the object is expected")?;
                        let key = self.key()?;
                        open.push(Open::Object(entries, key));
                        return Ok(None);
                    }
                    Some(Value::Object(Object::from_read(entries)))
                }
            };
        }
    }

    fn enter(&mut self, open: &[Open]) -> Result<(), Error> {
        if open.len() >= MAX_DEPTH {
            return Err(Error::BadJson { at: self.at, why: TOO_DEEP });
        }
        self.at += 1;
        self.skip_space();
        Ok(())
    }

    /// A key, its colon, and the space around it.
    fn key(&mut self) -> Result<Box<str>, Error> {
        if self.peek() != Some(b'"') {
            return Err(self.not_json("a key in quotes is expected"));
        }
        let key = self.string()?;
        self.skip_space();
        if !self.take(b':') {
            return Err(self.not_json("a colon is expected"));
        }
        self.skip_space();
        Ok(key)
    }

    fn comma(&mut self, why: &'static str) -> Result<(), Error> {
        if !self.take(b',') {
            return Err(self.not_json(why));
        }
        self.skip_space();
        Ok(())
    }

    /// Whether the value that comes next is the one that is left out.
    fn passes_over(&self, open: &[Open]) -> bool {
        match (self.left_out, open) {
            (Some(left_out), [Open::Object(_, key)]) => **key == *left_out,
            _ => false,
        }
    }

    /// Passes over a value of which only the end matters.
    fn skip_value(&mut self) -> Result<(), Error> {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                Some(b'"') => self.skip_string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']') if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(b',' | b':' | b' ' | b'\n' | b'\r' | b'\t') if depth > 0 => self.at += 1,
                Some(byte) if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.') => self.skip_word(),
                Some(_) => return Err(self.not_json("a value is expected")),
                None => return Err(self.not_json("the text ends within a value")),
            }
            if depth == 0 {
                return Ok(());
            }
        }
    }

    fn skip_word(&mut self) {
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'+' | b'.')) {
            self.at += 1;
        }
    }

    fn skip_string(&mut self) -> Result<(), Error> {
        loop {
            self.at += 1;
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.at += 1,
                Some(_) => {}
                None => return Err(self.not_json("the text ends within a string")),
            }
        }
    }

    fn string(&mut self) -> Result<Box<str>, Error> {
        self.at += 1;
        let plain = self.plain();
        if self.take(b'"') {
            return Ok(plain.into());
        }
        let mut unescaped = String::from(plain);
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(unescaped.into());
                }
                Some(b'\\') => unescaped.push(self.escape()?),
                Some(_) => return Err(self.not_json("control characters must be escaped")),
                None => return Err(self.not_json("the text ends within a string")),
            }
            unescaped.push_str(self.plain());
        }
    }

    /// Takes everything up to a quote, a backslash or a control character.
    fn plain(&mut self) -> &'a str {
        let rest = &self.text.as_bytes()[self.at..];
        let length = rest.iter().position(|&byte| byte < 0x20 || byte == b'"' || byte == b'\\').unwrap_or(rest.len());
        let plain = &self.text[self.at..self.at + length];
        self.at += length;
        plain
    }

    fn escape(&mut self) -> Result<char, Error> {
        let start = self.at;
        self.at += 1;
        let character = match self.peek() {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => {
                self.at += 1;
                return self.unicode_escape(start);
            }
            _ => return Err(self.not_json("unknown escape")),
        };
        self.at += 1;
        Ok(character)
    }

    fn unicode_escape(&mut self, start: usize) -> Result<char, Error> {
        let lone = Error::BadJson { at: start, why: "a lone surrogate stands for no character" };
        let first = self.hex4()?;
        if (0xd800..0xdc00).contains(&first) {
            if !self.text[self.at..].starts_with("\\u") {
                return Err(lone);
            }
            self.at += 2;
            let second = self.hex4()?;
            if !(0xdc00..0xe000).contains(&second) {
                return Err(lone);
            }
            return char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(lone);
        }
        char::from_u32(first).ok_or(lone)
    }

    fn hex4(&mut self) -> Result<u32, Error> {
        let digits = self.text.as_bytes().get(self.at..self.at + 4).unwrap_or_default();
        let mut code = 0;
        for &digit in digits {
            let Some(value) = char::from(digit).to_digit(16) else {
                return Err(self.not_json("four hexadecimal digits are expected"));
            };
            code = code << 4 | value;
        }
        if digits.len() != 4 {
            return Err(self.not_json("four hexadecimal digits are expected"));
        }
        self.at += 4;
        Ok(code)
    }

    fn number(&mut self) -> Result<Value, Error> {
        let start = self.at;
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.not_json("a digit is expected")),
        }
        if self.take(b'.') {
            self.some_digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.some_digits()?;
        }
        self.numbers.read(&self.text[start..self.at], start)
    }

    fn some_digits(&mut self) -> Result<(), Error> {
        if !matches!(self.peek(), Some(b'0'..=b'9')) {
            return Err(self.not_json("a digit is expected"));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
    }

    fn literal(&mut self, literal: &str, value: Value) -> Result<Value, Error> {
        if !self.text[self.at..].starts_with(literal) {
            return Err(self.not_json("a value is expected"));
        }
        self.at += literal.len();
        Ok(value)
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn not_json(&self, why: &'static str) -> Error {
        Error::NotJson { at: self.at, why }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strict(text: &str) -> Result<String, Error> {
        parse(text.as_bytes(), Numbers::Strict).map(|value| value.to_string())
    }

    #[test]
    fn what_is_no_json_is_told_from_what_is_bad_json() {
        for text in
            ["", "{", "[1,]", "{\"a\":1,}", "nul", "\"\n\"", "01", "1.", "-", "1 2", "\"\\x\"", "\"\\u12\"", "{a:1}"]
        {
            assert!(matches!(strict(text), Err(Error::NotJson { .. })), "{text}");
        }
        for text in
            ["1.5", "1e3", "9007199254740992", "-9007199254740992", r#""\ud800""#, r#""\udc00\ud800""#, r#""\ud800\n""#]
        {
            assert!(matches!(strict(text), Err(Error::BadJson { .. })), "{text}");
        }
        assert!(matches!(parse(b"\"\xff\"", Numbers::Strict), Err(Error::NotJson { at: 1, .. })));
    }

    #[test]
    fn strings_come_out_with_the_shortest_escapes() {
        assert_eq!(
            strict(r#""\u0000\u001F\u0008\/\u00e9\ud83d\ude00\u007f\"\\""#).unwrap(),
            "\"\\u0000\\u001f\\b/é😀\u{7f}\\\"\\\\\""
        );
    }

    #[test]
    fn numbers_follow_the_room_version() {
        let legacy = |text: &str| parse(text.as_bytes(), Numbers::Legacy).unwrap().to_string();
        assert_eq!(strict("-0").unwrap(), "0");
        assert_eq!(strict("9007199254740991").unwrap(), "9007199254740991");
        assert_eq!(parse(b"1e10", Numbers::Lenient).unwrap().to_string(), "10000000000");
        assert_eq!(legacy("1e10"), "10000000000.0");
        assert_eq!(legacy("123456789012345678901234567890"), "123456789012345678901234567890");
        assert!(parse(b"1e999", Numbers::Legacy).is_err());
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(strict(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(strict(&nested(MAX_DEPTH + 1)), Err(Error::BadJson { .. })));
        assert!(matches!(strict(&nested(1_000_000)), Err(Error::BadJson { .. })));
        let objects = "{\"a\":".repeat(MAX_DEPTH - 1) + "[1]" + &"}".repeat(MAX_DEPTH - 1);
        assert_eq!(strict(&objects).unwrap(), objects);
    }

    #[test]
    fn what_is_left_out_may_be_anything() {
        let read = |text: &str| {
            let object = parse_object_without(text.as_bytes(), Numbers::Strict, "x");
            object.map(|object| object.to_string())
        };
        let deep = "[".repeat(5000) + &"]".repeat(5000);
        for odd in ["1.5", "1e999", "-", r#""\ud800""#, "null", r#"{"x":[1,{"]":"}\""}]}"#, &deep] {
            assert_eq!(
                read(&format!(r#"{{"a":1,"x":{odd},"b":{{"x":2}}}}"#)).unwrap(),
                r#"{"a":1,"b":{"x":2}}"#,
                "{odd}"
            );
            assert_eq!(read(&format!(r#"{{"x" : {odd} }}"#)).unwrap(), "{}", "{odd}");
        }
        for broken in [r#"{"x":"#, r#"{"x":}"#, r#"{"x":[}"#, r#"{"x":"a}"#, r#"{"x":1 2}"#, r#"{"x":1,"b":1.5}"#] {
            assert!(read(broken).is_err(), "{broken}");
        }
    }
}
