//! A model as bytes, and back: a length, a JSON header, then little-endian tensors. Never executable.
//!
//! Owns: the frame. Does not own: what a header says, beyond the tensors' names, shapes and types. Nothing here
//! panics, or allocates more than what it was handed, whatever the bytes held.

use serde::Deserialize;
use serde::Serialize;

use super::Numbers;
use super::Tensor;

/// No header is longer: what claims to be is not a model.
const MAX_HEADER: usize = 16 << 20;

/// What a header says of one tensor; the tensors themselves follow in the same order.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TensorHead {
    name: String,
    shape: Vec<usize>,
    /// Models of before this was said have no others.
    #[serde(default = "f32_kind")]
    kind: String,
}

fn f32_kind() -> String {
    "f32".to_string()
}

/// What a header has to say of these tensors.
pub fn heads(tensors: &[Tensor]) -> Vec<TensorHead> {
    let head = |tensor: &Tensor| TensorHead {
        name: tensor.name.clone(),
        shape: tensor.shape.clone(),
        kind: tensor.numbers.kind().to_string(),
    };
    tensors.iter().map(head).collect()
}

/// The bytes of a header, which is short, and of the tensors that it speaks of.
pub fn join(header: &[u8], tensors: &[Tensor]) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    for tensor in tensors {
        tensor.numbers.write(&mut bytes);
    }
    bytes
}

/// The header of what [`join`] made, and the numbers after it.
///
/// # Errors
/// The bytes are too few for that; the text says why.
pub fn split(bytes: &[u8]) -> Result<(&[u8], &[u8]), &'static str> {
    let (length, rest) = bytes.split_first_chunk::<8>().ok_or("shorter than its length field")?;
    let length = u64::from_le_bytes(*length) as usize;
    if length > MAX_HEADER || length > rest.len() {
        return Err("the header is longer than the file");
    }
    Ok(rest.split_at(length))
}

/// The tensors that a header speaks of.
///
/// # Errors
/// There are fewer numbers than they need, or more; the text says which.
pub fn tensors(heads: Vec<TensorHead>, mut numbers: &[u8]) -> Result<Vec<Tensor>, &'static str> {
    let mut tensors = Vec::new();
    for head in heads {
        tensors.push(read(head, &mut numbers).ok_or("a tensor is cut short")?);
    }
    if numbers.is_empty() { Ok(tensors) } else { Err("bytes after the last tensor") }
}

fn read(head: TensorHead, numbers: &mut &[u8]) -> Option<Tensor> {
    let n_values = head.shape.iter().try_fold(1usize, |n, &size| n.checked_mul(size))?;
    let numbers = Numbers::read(&head.kind, n_values, numbers)?;
    Some(Tensor { name: head.name, shape: head.shape, numbers })
}
