//! A fitted model's numbers, on their way to a file and back.
//!
//! Owns: named tensors, and the refusal of those that are not what was wanted. Nothing here panics, or
//! allocates more than what it was handed, whatever the bytes held.
//! Does not own: the file (`model`), or what the numbers mean (each detector).

use std::collections::BTreeMap;

/// A fitted model's numbers: never executable.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Parts {
    /// Shapes and settings.
    pub meta: serde_json::Value,
    /// Named tensors.
    pub tensors: Vec<Tensor>,
}

/// A named tensor; it has as many numbers as the product of `shape`.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Unique in its model.
    pub name: String,
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Row-major.
    pub numbers: Numbers,
}

/// The numbers of a tensor, in the smallest type that holds them.
#[derive(Debug, Clone, PartialEq)]
pub enum Numbers {
    /// Weights, thresholds.
    F32(Vec<f32>),
    /// What would not score the same when rounded.
    F64(Vec<f64>),
    /// Counts and places.
    U16(Vec<u16>),
    /// Bins, names of columns.
    U8(Vec<u8>),
}

impl Numbers {
    /// How many.
    pub fn len(&self) -> usize {
        match self {
            Numbers::F32(values) => values.len(),
            Numbers::F64(values) => values.len(),
            Numbers::U16(values) => values.len(),
            Numbers::U8(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The name of the type in a file.
    pub fn kind(&self) -> &'static str {
        match self {
            Numbers::F32(_) => "f32",
            Numbers::F64(_) => "f64",
            Numbers::U16(_) => "u16",
            Numbers::U8(_) => "u8",
        }
    }

    /// Appends them to a file, little-endian.
    pub fn write(&self, bytes: &mut Vec<u8>) {
        match self {
            Numbers::F32(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Numbers::F64(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Numbers::U16(values) => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Numbers::U8(values) => bytes.extend_from_slice(values),
        }
    }

    /// `n` numbers of the type named `kind`, cut from the beginning of `bytes`; none where there are
    /// fewer, or no such type.
    pub fn read(kind: &str, n: usize, bytes: &mut &[u8]) -> Option<Numbers> {
        Some(match kind {
            "f32" => Numbers::F32(cut(n, bytes, f32::from_le_bytes)?),
            "f64" => Numbers::F64(cut(n, bytes, f64::from_le_bytes)?),
            "u16" => Numbers::U16(cut(n, bytes, u16::from_le_bytes)?),
            "u8" => Numbers::U8(cut(n, bytes, u8::from_le_bytes)?),
            _ => return None,
        })
    }
}

fn cut<const SIZE: usize, T>(
    n: usize,
    bytes: &mut &[u8],
    number: impl Fn([u8; SIZE]) -> T,
) -> Option<Vec<T>> {
    let (own, rest) = bytes.split_at_checked(n.checked_mul(SIZE)?)?;
    *bytes = rest;
    Some(own.as_chunks::<SIZE>().0.iter().map(|chunk| number(*chunk)).collect())
}

/// A type of number that a tensor can hold.
pub trait Number: Copy {
    /// A tensor's numbers of this type.
    fn numbers(values: Vec<Self>) -> Numbers;
    /// The numbers, if they are of this type.
    fn of(numbers: Numbers) -> Option<Vec<Self>>;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
}

macro_rules! number {
    ($type:ty, $kind:ident, $finite:expr) => {
        impl Number for $type {
            fn numbers(values: Vec<Self>) -> Numbers {
                Numbers::$kind(values)
            }

            fn of(numbers: Numbers) -> Option<Vec<Self>> {
                if let Numbers::$kind(values) = numbers { Some(values) } else { None }
            }

            fn is_finite(self) -> bool {
                $finite(self)
            }
        }
    };
}
number!(f32, F32, f32::is_finite);
number!(f64, F64, f64::is_finite);
number!(u16, U16, |_| true);
number!(u8, U8, |_| true);

impl Tensor {
    /// A tensor of one dimension.
    pub fn flat<T: Number>(name: &str, values: Vec<T>) -> Tensor {
        let shape = vec![values.len()];
        Tensor { name: name.to_string(), shape, numbers: T::numbers(values) }
    }
}

/// Why stored parts are not a model.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RestoreError(pub String);

/// Tensors by name, taken out one by one.
pub struct Tensors(BTreeMap<String, Tensor>);

impl Tensors {
    /// The tensors of a model.
    ///
    /// # Errors
    /// Two have the same name.
    pub fn new(tensors: Vec<Tensor>) -> Result<Tensors, RestoreError> {
        let n = tensors.len();
        let by_name: BTreeMap<_, _> = tensors.into_iter().map(|t| (t.name.clone(), t)).collect();
        let twice = || RestoreError("two tensors of the same name".to_string());
        if by_name.len() == n { Ok(Tensors(by_name)) } else { Err(twice()) }
    }

    /// The numbers of a tensor, all finite.
    ///
    /// # Errors
    /// It is missing, or of another type or shape, or holds what is no number.
    pub fn take<T: Number>(&mut self, name: &str, shape: &[usize]) -> Result<Vec<T>, RestoreError> {
        let fail = |what: String| RestoreError(format!("tensor {name:?} {what}"));
        let tensor = self.0.remove(name).ok_or_else(|| fail("is missing".to_string()))?;
        let wanted = shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size));
        let n = tensor.numbers.len();
        if tensor.shape != shape || Some(n) != wanted {
            let have = &tensor.shape;
            return Err(fail(format!("has shape {have:?} and {n} values, wanted {shape:?}")));
        }
        let kind = tensor.numbers.kind();
        let values = T::of(tensor.numbers).ok_or_else(|| fail(format!("is of type {kind}")))?;
        if !values.iter().all(|v| v.is_finite()) {
            return Err(fail("holds numbers that are not finite".to_string()));
        }
        Ok(values)
    }

    /// The numbers of a tensor of one dimension, however many, all finite.
    ///
    /// # Errors
    /// As [`Tensors::take`].
    pub fn take_flat<T: Number>(&mut self, name: &str) -> Result<Vec<T>, RestoreError> {
        let n = self.0.get(name).map_or(0, |tensor| tensor.numbers.len());
        self.take(name, &[n])
    }

    /// Whether one of this name was not taken yet.
    pub fn has(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    /// Whether all were taken.
    ///
    /// # Errors
    /// One was not; it is named.
    pub fn end(&self, of: &str) -> Result<(), RestoreError> {
        match self.0.keys().next() {
            Some(name) => Err(RestoreError(format!("tensor {name:?} is not part of {of}"))),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_a_file() {
        let all = [
            Numbers::F32(vec![1.5, -0.0]),
            Numbers::F64(vec![1e300, 5e-324]),
            Numbers::U16(vec![0, 65_535]),
            Numbers::U8(vec![255]),
        ];
        let mut bytes = Vec::new();
        all.iter().for_each(|numbers| numbers.write(&mut bytes));
        let mut rest = bytes.as_slice();
        for numbers in &all {
            let read = Numbers::read(numbers.kind(), numbers.len(), &mut rest);
            assert_eq!(read.as_ref(), Some(numbers));
        }
        assert!(rest.is_empty());
        assert_eq!(Numbers::read("f64", usize::MAX, &mut bytes.as_slice()), None);
        assert_eq!(Numbers::read("i9", 0, &mut bytes.as_slice()), None);
    }

    #[test]
    fn what_is_not_wanted_is_refused_by_name() {
        let tensors = || Tensors::new(vec![Tensor::flat("a", vec![1.0f32, f32::NAN])]).unwrap();
        let said = |shape: &[usize]| tensors().take::<f32>("a", shape).unwrap_err().0;
        assert_eq!(said(&[2]), "tensor \"a\" holds numbers that are not finite");
        assert_eq!(said(&[3]), "tensor \"a\" has shape [2] and 2 values, wanted [3]");
        assert_eq!(said(&[usize::MAX, 2]).matches("wanted").count(), 1);
        let other = tensors().take::<u8>("a", &[2]).unwrap_err();
        assert_eq!(other.0, "tensor \"a\" is of type f32");
        assert_eq!(tensors().end("it").unwrap_err().0, "tensor \"a\" is not part of it");
        let twice = vec![Tensor::flat("a", vec![1u8]), Tensor::flat("a", vec![1u8])];
        assert!(Tensors::new(twice).is_err());
    }
}
