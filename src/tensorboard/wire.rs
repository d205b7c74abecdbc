//! The wire format of protocol buffers, as far as event files need it.
//!
//! <https://protobuf.dev/programming-guides/encoding>

/// A message in the making. Fields are written in the order of the calls.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    pub(super) fn new() -> Message {
        Message::default()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// A field of an integer type; negative ones take ten bytes.
    pub(super) fn integer(mut self, field: u32, value: i64) -> Message {
        self.key(field, 0);
        self.varint(value as u64);
        self
    }

    pub(super) fn double(mut self, field: u32, value: f64) -> Message {
        self.key(field, 1);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u32, value: f32) -> Message {
        self.key(field, 5);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn text(self, field: u32, value: &str) -> Message {
        self.raw(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u32, value: &Message) -> Message {
        self.raw(field, &value.0)
    }

    /// The same field for each of these messages.
    pub(super) fn each(self, field: u32, values: impl IntoIterator<Item = Message>) -> Message {
        values.into_iter().fold(self, |message, value| message.message(field, &value))
    }

    pub(super) fn raw(mut self, field: u32, value: &[u8]) -> Message {
        self.key(field, 2);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    fn key(&mut self, field: u32, wire_type: u64) {
        self.varint(u64::from(field) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_written_as_the_guide_says() {
        let message = Message::new()
            .integer(1, 150)
            .text(2, "testing")
            .message(3, &Message::new().integer(1, 150));
        let wanted = b"\x08\x96\x01\x12\x07testing\x1a\x03\x08\x96\x01";
        assert_eq!(message.bytes(), wanted, "the examples of the encoding guide");
        let numbers = Message::new().double(1, 1.0).float(2, -2.0).integer(16, -1);
        let wanted = b"\x09\0\0\0\0\0\0\xf0\x3f\x15\0\0\0\xc0\x80\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01";
        assert_eq!(numbers.bytes(), wanted);
    }
}
